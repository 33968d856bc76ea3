"""The worker: one parent process per node that leases trials and trains them in child processes.

`tuner.worker.agent.run_worker` is what `tuner worker` calls. Importing this package loads no torch.
"""
