"""multirun_examples/slurm_ray.sh: two Ray nodes on loopback, with scripts in the place of Slurm."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pandas as pd
import psutil
import pytest
from processes import ROOT, environment, rollout, wait_for

SCRIPT = ROOT / "multirun_examples/slurm_ray.sh"
SCONTROL = "#!/bin/sh\necho localhost\necho localhost\n"
SRUN = """#!/bin/bash
while [ "$1" != "${1#--}" ]; do shift; done
exec "$@"
"""
# Ray's own command, which refuses to add a node on loopback.
RAY = """#!/usr/bin/env python
from ray._private import ray_constants, services

services.get_node_ip_address = lambda address=None: "127.0.0.1"
ray_constants.ENABLE_RAY_CLUSTER = True
from ray.scripts.scripts import main

main()
"""
SCRIPTED = ["engine=scripted", "engine.max_num_seqs=16"]
SLOW = "engine.scripted.step_s=0.03"  # the second node joins long before the rows are finished


class Slurm:
    """Runs the script as a job of two nodes with one core each."""

    def __init__(self, directory):
        self.here, self.jobs = directory, []
        for name, script in (("scontrol", SCONTROL), ("srun", SRUN), ("ray", RAY)):
            (directory / "bin" / name).parent.mkdir(exist_ok=True)
            (directory / "bin" / name).write_text(script)
            (directory / "bin" / name).chmod(0o755)

    def submit(self, *words):
        self.jobs.append(free_job_id())
        env = environment(  # as if the venv were activated, as the script's comment says
            PATH=f"{self.here}/bin:{Path(sys.executable).parent}:{os.environ['PATH']}",
            RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
            SLURM_JOB_ID=self.jobs[-1],
            SLURM_JOB_NUM_NODES="2",
            SLURM_JOB_NODELIST="n[1-2]",
            SLURM_CPUS_PER_TASK="1",
            SLURMD_NODENAME="n1",
        )
        job = ["bash", SCRIPT, *words, *SCRIPTED, SLOW, "scale.num_replicas=2", "tracking=none"]
        with (self.here / "job.out").open("w") as out:
            return subprocess.Popen(job, cwd=self.here, env=env, stdout=out, stderr=out)

    def has_rows(self):
        return any(file.stat().st_size for file in self.here.glob("s/shards/*"))

    def left(self):
        """Return the processes of all jobs that are still there."""
        return [p for p in psutil.process_iter() if environ_of(p).get("SLURM_JOB_ID") in self.jobs]


def environ_of(process):
    try:
        return process.environ()
    except psutil.Error:
        return {}


def free_job_id():
    """Return a job id whose port is free (20000 and its last four digits)."""
    for number in range(os.getpid() % 10000, 10000):
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", 20000 + number)):
                return str(number)
    raise AssertionError("no port is free")


@pytest.fixture
def slurm(tmp_path):
    slurm = Slurm(tmp_path)
    rows = pd.DataFrame({"prompt": [f"prompt {i}" for i in range(200)]})
    rows.to_parquet(tmp_path / "prompts.parquet")
    yield slurm
    for process in slurm.left():
        process.kill()
    for job in slurm.jobs:
        for files in Path("/tmp").glob(f"ray-{job}"):
            shutil.rmtree(files, ignore_errors=True)


def test_a_job_that_got_its_signal_is_resumed_by_the_next_on_replicas_of_both_nodes(slurm):
    job = slurm.submit("data.input=prompts.parquet", "run_dir=s")
    wait_for(lambda: slurm.has_rows() or job.poll() is not None, 120)
    assert slurm.has_rows(), (slurm.here / "job.out").read_text()
    job.send_signal(signal.SIGTERM)
    assert job.wait(60) == 143, (slurm.here / "job.out").read_text()
    assert "to resume: " in (slurm.here / "job.out").read_text()
    wait_for(lambda: not slurm.left(), 30)

    job = slurm.submit("data.input=prompts.parquet", "run_dir=s")
    assert job.wait(200) == 0, (slurm.here / "job.out").read_text()
    wait_for(lambda: not slurm.left(), 30)
    replicas = json.loads((slurm.here / "s/summary.json").read_text())["replicas"]
    assert len(replicas) == 2 and all(replica["num_rows"] for replica in replicas)

    rollout("data.input=prompts.parquet", "run_dir=one", "tracking=none", *SCRIPTED, cwd=slurm.here)
    assert responses(slurm.here / "s") == responses(slurm.here / "one")


def test_a_job_whose_cluster_can_not_start_ends_with_an_error(slurm):
    (slurm.here / "bin/ray").write_text("#!/bin/sh\necho no Ray here\nexit 1\n")
    job = slurm.submit("data.input=prompts.parquet", "run_dir=s")
    wait_for(lambda: job.poll() is not None, 30)
    assert job.returncode == 1 and not slurm.left()
    assert "no Ray here" in next(slurm.here.glob("ray-*.log")).read_text()


def responses(run_dir):
    return pd.read_parquet(run_dir / "output.parquet")["responses"].map(list).tolist()
