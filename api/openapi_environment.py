"""An attempt's environment, as the examples of the OpenAPI description show it."""

from __future__ import annotations

from tuner.environment import digest_of

PACKAGES = {"numpy": "2.5.1", "torch": "2.13.0"}
CODE = {
    "kind": "git",
    "root": "/home/ann/vision",
    "folder": ".",
    "commit": "5b2f0c4a9e7d1f3b6a8c0d2e4f60718293a4b5c6",
    "branch": "main",
    "remote": "https://git.example/ann/vision.git",
    "diff": "",
    "diff_size": 0,
    "masked": 0,
    "files": {},
    "note": "",
}
MACHINE = {
    "tuner": "0.1.0",
    "python": "3.12.4",
    "executable": "/usr/bin/python3",
    "host": "gpu-box.example",
    "os": "Linux-6.8.0-x86_64-with-glibc2.39",
    "cpu": "AMD EPYC 9354",
    "cores": 16,
    "gpus": ["NVIDIA H100"],
    "devices": ["0"],
    "driver": "570.86.15",
    "cuda": "12.8",
    "worker": "gpu-box",
    "program": ["mypackage.train:main"],
    "variables": {"CUDA_VISIBLE_DEVICES": "0", "OMP_NUM_THREADS": "8"},
    "packages": digest_of(PACKAGES),
    "code": digest_of(CODE),
}
