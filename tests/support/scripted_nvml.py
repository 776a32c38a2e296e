"""NVML on a machine without a GPU: three GPUs, as scripted."""

from types import SimpleNamespace

import pynvml

GPUS = {  # by index or UUID: GiB in use, percent busy, watts, joules
    0: (5, 100, 400.0, 1000.0),
    1: (70, 50, 300.0, 2000.0),
    2: (30, 0, 100.0, 3000.0),
    "GPU-c": (30, 0, 100.0, 3000.0),
    "MIG-a": (8, None, None, None),
}


class ScriptedNvml:
    """NVML, not yet started.

    `silent` lists what a GPU does not tell: (column of GPUS, device). Every reading of a GPU's
    energy adds `more_j`.
    """

    def __init__(self, monkeypatch):
        self.num_starts, self.silent, self.more_j = 0, set(), 0.0
        self.num_readings = {}
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        for name, function in {
            "nvmlInit": self.start,
            "nvmlShutdown": self.stop,
            "nvmlDeviceGetCount": self.count,
            "nvmlDeviceGetHandleByIndex": lambda index: index,
            "nvmlDeviceGetHandleByUUID": self.uuid,
            "nvmlDeviceGetMemoryInfo": self.memory,
            "nvmlDeviceGetName": lambda gpu: "a scripted GPU",
            "nvmlDeviceGetCudaComputeCapability": lambda gpu: (9, 0),
            "nvmlDeviceGetUtilizationRates": lambda gpu: SimpleNamespace(gpu=self.told(gpu, 1)),
            "nvmlDeviceGetPowerUsage": lambda gpu: int(self.told(gpu, 2) * 1000),
            "nvmlDeviceGetTotalEnergyConsumption": self.energy,
        }.items():
            monkeypatch.setattr(pynvml, name, function)

    def start(self):
        self.num_starts += 1

    def stop(self):
        self.num_starts -= 1  # NVML counts, too

    def memory(self, device, version=None):
        used = self.told(device, 0) * 2**30
        return SimpleNamespace(used=used, total=80 * 2**30, free=80 * 2**30 - used, reserved=0)

    def count(self):
        if not self.num_starts:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)
        return 3

    def uuid(self, uuid):
        if uuid not in GPUS:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return uuid

    def told(self, device, which):
        value = GPUS[device][which]
        if value is None or (which, device) in self.silent:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return value

    def energy(self, device):
        self.num_readings[device] = self.num_readings.get(device, -1) + 1
        return int((self.told(device, 3) + self.more_j * self.num_readings[device]) * 1000)
