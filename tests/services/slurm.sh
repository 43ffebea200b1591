#!/bin/bash
# A Slurm of one node on 127.0.0.1, the tests that need one, and its end. Everything lies in one temporary folder.
# Run as root, once: apt-get install -y slurm-wlm munge                                  (make services runs this)
set -euo pipefail
cd "$(dirname "$0")/../.."
for program in munged slurmctld slurmd; do
  command -v "$program" >/dev/null || { echo "slurm: skipped, there is no $program (apt-get install slurm-wlm munge)"; exit 0; }
done
[ "$(id -u)" = 0 ] || { echo "slurm: skipped, its daemons have to be started as root"; exit 0; }

folder=$(mktemp -d /tmp/tractprobe-slurm-XXXXXX)
chmod 755 "$folder"
mkdir "$folder/state" "$folder/spool" "$folder/munge"
stop() {
  for daemon in slurmd slurmctld munged; do
    [ -f "$folder/$daemon.pid" ] || continue
    pid=$(cat "$folder/$daemon.pid")
    kill "$pid" 2>/dev/null || continue
    while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
  done
  if [ "${passed:-}" ]; then rm -rf "$folder"; else echo "slurm: logs lie in $folder"; fi
}
trap stop EXIT

export SLURM_CONF=$folder/slurm.conf
read -r -a node <<<"$(slurmd -C | head -n 1)"
name=${node[0]#NodeName=}
cat >"$SLURM_CONF" <<CONF
ClusterName=loop
SlurmctldHost=$name(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
ReturnToService=2
MpiDefault=none
KillWait=5
${node[*]/UpTime=*/} NodeAddr=127.0.0.1 State=UNKNOWN
PartitionName=main Nodes=$name Default=YES MaxTime=INFINITE State=UP
CONF
head -c 128 /dev/urandom >"$folder/munge.key"
chmod 600 "$folder/munge.key"
munged --force --key-file="$folder/munge.key" --socket="$folder/munge/socket" --pid-file="$folder/munged.pid" \
  --log-file="$folder/munged.log" --seed-file="$folder/munged.seed"
slurmctld
slurmd
until sinfo --noheader --format=%T 2>/dev/null | grep -q idle; do sleep 0.5; done
"${PYTHON:-python}" -m pytest -n 0 -q --override-ini addopts= tests/services/slurm.py
passed=yes
