#!/bin/bash
# How does one run use all GPUs of several Slurm nodes? As replicas on a Ray cluster in one job.
#
#   sbatch multirun_examples/slurm_ray.sh data.input=prompts.parquet model=qwen3_4b run_dir=runs/big
#
# The words after the file's name are rollout's. Every GPU gets a replica; with
# engine.tensor_parallel_size=2, every two. Two minutes before the time limit, the run saves what is
# finished and ends, and the same command resumes it, on as many nodes as you like.
# Needs: the same rollout[ray] and vLLM on every node; prompts, run_dir and model on a file system
# that the nodes share. Edit the lines below, or type them before the file's name (--nodes=4).
# Ray's output is in ray-JOB.log, its own logs are in /tmp/ray-JOB on each node.
#SBATCH --job-name=rollout
#SBATCH --partition=gpu
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --mem=0
#SBATCH --time=240
#SBATCH --no-kill
#SBATCH --signal=B:TERM@120
set -euo pipefail
trap 'exit 143' TERM
# source .venv/bin/activate

# Whoever reaches a Ray cluster without a token can run code on it.
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
export RAY_AUTH_TOKEN RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0

# This is the job's first node. Its address on the network that leads to the last one:
last=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | tail -n 1)
ip=$(python -c '
import socket, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
    probe.connect((sys.argv[1], 9))  # sends nothing
    print(probe.getsockname()[0])' "$last")
head=$ip:$((20000 + SLURM_JOB_ID % 10000))
node=(--num-cpus="$SLURM_CPUS_PER_TASK" --temp-dir="/tmp/ray-$SLURM_JOB_ID" --block)

exec 9> "ray-$SLURM_JOB_ID.log"
ray start --head --node-ip-address="$ip" --port="${head#*:}" --include-dashboard=false \
  "${node[@]}" >&9 2>&1 &
ray=($!)
trap 'kill "${ray[@]}" 2> /dev/null; wait "${ray[@]}" || true' EXIT
until (exec 3<> "/dev/tcp/$ip/${head#*:}") 2> /dev/null; do
  kill -0 "${ray[0]}"  # if the head could not start, the job ends here
  sleep 1
done

if ((others = SLURM_JOB_NUM_NODES - 1)); then
  srun --nodes=$others --ntasks=$others --ntasks-per-node=1 --exclude="$SLURMD_NODENAME" \
    --cpus-per-task="$SLURM_CPUS_PER_TASK" --kill-on-bad-exit=0 \
    ray start --address="$head" "${node[@]}" >&9 2>&1 &
  ray+=($!)
fi

python -m rollout scale=ray scale.address="$head" "$@" &
run=$!
trap 'kill $run' TERM
wait $run && code=0 || code=$?
while kill -0 $run 2> /dev/null; do  # a signal ended the wait, not the run
  wait $run && code=0 || code=$?
done
exit $code
