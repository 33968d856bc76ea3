"""The callbacks in two processes that a real worker starts, on gloo and the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.bench import Bench
from tests.e2e.fake_server import FakeServer
from tests.e2e.worker_process import wait_until
from tuner import wire

BOTH = """
import json, os, time
from pathlib import Path
import torch
from torch import nn

def rows():
    x = torch.randn(32, 4, generator=torch.Generator().manual_seed(1))
    return x, x.sum(1, keepdim=True)

def layers():
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.3), nn.Tanh(), nn.Linear(8, 1))

def pause(trial, epoch):
    if epoch == 2:
        Path(f"at-{trial.attempt}-{trial.rank}").touch()
        while not os.path.exists("on") and not trial.meet():
            time.sleep(0.01)

def tell(trial, model):
    weights = [p.double().sum().item() for p in model.parameters()]
    Path(f"told-{trial.attempt}-{trial.rank}").write_text(json.dumps(weights))
"""
LIGHTNING = (
    BOTH
    + """
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader, TensorDataset
from tuner.lightning import TunerCallback

class Net(LightningModule):
    def __init__(self, trial):
        super().__init__()
        self.layers, self.trial = layers(), trial
    def training_step(self, batch):
        return nn.functional.mse_loss(self.layers(batch[0]), batch[1])
    def validation_step(self, batch):
        self.log("val_loss", self.training_step(batch), sync_dist=True)
    def on_train_epoch_start(self):
        pause(self.trial, self.trainer.current_epoch)
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.05)

def main(trial):
    callback = TunerCallback(trial, "val_loss")
    trainer = Trainer(
        max_epochs=trial.steps, callbacks=[callback], accelerator="cpu", devices=2, strategy="ddp",
        logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = TensorDataset(*rows())
    net = Net(trial)
    loader = DataLoader(data, batch_size=4, shuffle=True)
    trainer.fit(net, loader, DataLoader(data, batch_size=16), ckpt_path=callback.ckpt_path)
    tell(trial, net)
"""
)
TRANSFORMERS = (
    BOTH
    + """
from transformers import Trainer, TrainerCallback, TrainingArguments
from tuner.transformers import TunerCallback

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = layers()
    def forward(self, x, labels):
        predicted = self.layers(x)
        return {"loss": nn.functional.mse_loss(predicted, labels), "logits": predicted}

class Pause(TrainerCallback):
    def __init__(self, trial):
        self.trial = trial
    def on_epoch_begin(self, args, state, control, **kwargs):
        pause(self.trial, round(state.epoch or 0))

def main(trial):
    callback = TunerCallback(trial)
    arguments = TrainingArguments(
        output_dir="out", num_train_epochs=trial.steps, per_device_train_batch_size=4,
        learning_rate=0.05, eval_strategy="epoch", save_strategy="no", report_to="none",
        disable_tqdm=True, use_cpu=True, ddp_backend="gloo", seed=5,
    )
    data = [{"x": x, "labels": y} for x, y in zip(*rows())]
    net = Net()
    trainer = Trainer(
        net, arguments, train_dataset=data, eval_dataset=data, callbacks=[callback, Pause(trial)]
    )
    trainer.train(resume_from_checkpoint=callback.resume_from_checkpoint)
    tell(trial, net)
"""
)
PROGRAMS = {"lightning": LIGHTNING, "transformers": TRANSFORMERS}


def halve(item: wire.ReportItem) -> wire.DecisionView:
    return wire.DecisionView.model_validate({"lr_factor": 0.5})


@pytest.mark.parametrize("framework", PROGRAMS)
def test_two_ranks_report_once_and_go_on_bit_equal(framework: str, tmp_path: Path) -> None:
    pytest.importorskip(framework, reason=f"the extra `{framework}` is not installed")
    found = []
    for disturbed in (False, True):
        folder = tmp_path / f"disturbed-{disturbed}"
        folder.mkdir()
        with FakeServer() as server:
            bench = Bench(folder, server)
            server.decide = halve
            bench.code(PROGRAMS[framework])
            trial = server.add({"entrypoint": "code_main:main", "processes": 2}, steps=4)
            if disturbed:
                with bench.worker() as worker:
                    wait_until((folder / "at-1-1").exists, "the third epoch", 120.0)
                    worker.terminate()
                    assert worker.wait() == 0
                assert [step for step, _ in trial.checkpoints][-1:] == [2]
                assert (len(trial.releases), trial.finishes) == (1, [])
            (folder / "on").touch()
            bench.run()
            assert [finish.outcome for finish in trial.finishes] == ["complete"]
            assert [report.step for report in trial.reports] == [1, 2, 3, 4]
            told = [json.loads((folder / f"told-{1 + disturbed}-{r}").read_text()) for r in (0, 1)]
            assert told[0] == told[1]
            found.append(([report.value for report in trial.reports], told[0]))
    assert found[0] == found[1]
