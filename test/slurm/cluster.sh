#!/bin/bash
# A real Slurm cluster of two nodes on one machine, without systemd, below one folder: munge, slurmctld, slurmdbd with its
# database, and a slurmd for each node, with device nodes of NVIDIA's kind that have no driver.
#   cluster.sh up FOLDER     starts it, and waits until its nodes are idle
#   cluster.sh down FOLDER   ends what `up` started, by its pid files, and nothing else
# Needs root and the packages slurm-wlm, slurmdbd, munge, mariadb-server. HOOKS names a folder with prolog.sh and epilog.sh.
set -euo pipefail
ACTION=$1
LAB=$2
export SLURM_CONF=$LAB/etc/slurm.conf
HOST=$(hostname -s)
PORTS=${PORTS:-17000}
USERS=${USERS:-"alice bob"}

# A zombie that waits to be reaped counts as gone.
alive() { [ -e "/proc/$1/stat" ] && [ "$(awk '{print $3}' "/proc/$1/stat" 2>/dev/null)" != Z ]; }
stop() {
  [ -s "$1" ] || return 0
  local pid
  pid=$(cat "$1")
  kill "$pid" 2>/dev/null || return 0
  for _ in $(seq 100); do alive "$pid" || return 0; sleep 0.1; done
  kill -9 "$pid" 2>/dev/null || true
}

down() {
  if [ -s "$LAB/run/slurm/slurmctld.pid" ]; then
    for user in $USERS; do timeout 5 scancel -f -u "$user" 2>/dev/null || true; done
    for _ in $(seq 25); do [ -z "$(timeout 5 squeue -h 2>/dev/null)" ] && break; sleep 0.2; done
  fi
  # The controller first, then what it talks to.
  for file in slurmctld slurmd.gn1 slurmd.gn2 slurmdbd; do stop "$LAB/run/slurm/$file.pid"; done
  stop "$LAB/run/mysql/mysqld.pid"
  stop "$LAB/run/munge/munged.pid"
  # What a slurmd that was killed leaves: what it started from this folder, its jobs, and their control groups, innermost first.
  local link
  for link in /proc/[0-9]*/exe /proc/[0-9]*/cwd; do
    case "$(readlink "$link" 2>/dev/null)" in "$LAB"/*) link=${link%/*}; kill -9 "${link##*/}" 2>/dev/null || true ;; esac
  done
  [ "${TRACK:-}" = linuxproc ] && return 0
  for node in gn1 gn2; do
    for group in /sys/fs/cgroup/*/"slurm_$node"; do
      [ -d "$group" ] || continue
      find "$group" -name cgroup.procs -exec cat {} + 2>/dev/null | sort -u | xargs -r kill -9 2>/dev/null || true
      for _ in $(seq 20); do
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
        [ -d "$group" ] || break
        sleep 0.1
      done
    done
  done
}

# The node's control groups, where this kernel lets them be made: proctrack by them, else by parents.
cgroups_work() { [ -d /sys/fs/cgroup/freezer ] && [ -d /sys/fs/cgroup/memory ] && [ -w /sys/fs/cgroup/freezer ]; }

configure() {
  local track=proctrack/linuxproc task=task/none gather=jobacct_gather/linux flags=Alloc
  if [ "${TRACK:-}" != linuxproc ] && cgroups_work; then
    track=proctrack/cgroup task=task/cgroup flags=Alloc,Contain
  fi
  local hooks=""
  if [ -n "${HOOKS:-}" ]; then hooks="Prolog=$HOOKS/prolog.sh
Epilog=$HOOKS/epilog.sh"; fi
  cat >"$LAB/etc/cgroup.conf" <<X
CgroupPlugin=cgroup/v1
CgroupAutomount=no
ConstrainRAMSpace=no
ConstrainDevices=no
ConstrainCores=no
X
  cat >"$LAB/etc/slurmdbd.conf" <<X
AuthType=auth/munge
AuthInfo=socket=$LAB/run/munge/munge.sock
DbdHost=localhost
DbdPort=$((PORTS + 19))
SlurmUser=slurm
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$((PORTS + 6))
StorageUser=slurm
StoragePass=labpw
StorageLoc=slurm_acct_db
LogFile=$LAB/log/slurmdbd.log
PidFile=$LAB/run/slurm/slurmdbd.pid
X
  chown slurm: "$LAB/etc/slurmdbd.conf"
  chmod 600 "$LAB/etc/slurmdbd.conf"
  cat >"$LAB/etc/slurm.conf" <<X
ClusterName=lab
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=$((PORTS + 17))
SlurmUser=slurm
AuthType=auth/munge
AuthInfo=socket=$LAB/run/munge/munge.sock
StateSaveLocation=$LAB/state
SlurmdSpoolDir=$LAB/spool/%n
SlurmctldPidFile=$LAB/run/slurm/slurmctld.pid
SlurmdPidFile=$LAB/run/slurm/slurmd.%n.pid
SlurmctldLogFile=$LAB/log/slurmctld.log
SlurmdLogFile=$LAB/log/slurmd.%n.log
ProctrackType=$track
TaskPlugin=$task
JobAcctGatherType=$gather
JobAcctGatherFrequency=0
MpiDefault=none
ReturnToService=2
InactiveLimit=0
MinJobAge=${MIN_JOB_AGE:-300}
KillWait=2
Waittime=0
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0,sched_min_interval=0
RequeueExit=99
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
PrologFlags=$flags
$hooks
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort=$((PORTS + 19))
AccountingStoragePass=$LAB/run/munge/munge.sock
AccountingStorageTRES=gres/gpu,gres/gpu:a100,gres/gpu:h100,gres/shard
AccountingStoreFlags=job_comment
MailProg=/bin/true
GresTypes=gpu,shard
NodeName=gn1 NodeHostname=$HOST NodeAddr=127.0.0.1 Port=$((PORTS + 1)) CPUs=16 Boards=1 SocketsPerBoard=1 CoresPerSocket=16 ThreadsPerCore=1 RealMemory=1000 Gres=gpu:a100:4 State=UNKNOWN
NodeName=gn2 NodeHostname=$HOST NodeAddr=127.0.0.1 Port=$((PORTS + 2)) CPUs=16 Boards=1 SocketsPerBoard=1 CoresPerSocket=16 ThreadsPerCore=1 RealMemory=1000 Gres=gpu:h100:2,shard:8 State=UNKNOWN
PartitionName=gpu Nodes=gn[1-2] Default=YES MaxTime=1-00:00:00 DefaultTime=00:30:00 State=UP
X
  cat >"$LAB/etc/gres.conf" <<X
NodeName=gn1 Name=gpu Type=a100 File=$LAB/dev/gn1/nvidia[0-3]
NodeName=gn2 Name=gpu Type=h100 File=$LAB/dev/gn2/nvidia[0-1]
NodeName=gn2 Name=shard Count=8
X
}

up() {
  mkdir -p "$LAB"/{etc,log,run/slurm,run/munge,run/mysql,spool,state,dev/gn1,dev/gn2,munge,mysql,jobs}
  chmod 755 "$LAB" "$LAB"/{etc,log,run,dev}
  chmod 1777 "$LAB/jobs"
  chown slurm: "$LAB/state" "$LAB/log" "$LAB/run/slurm"
  for user in $USERS; do id "$user" >/dev/null 2>&1 || useradd -M -s /bin/bash "$user"; done
  for i in 0 1 2 3; do [ -e "$LAB/dev/gn1/nvidia$i" ] || mknod -m 666 "$LAB/dev/gn1/nvidia$i" c 195 "$i"; done
  for i in 0 1; do [ -e "$LAB/dev/gn2/nvidia$i" ] || mknod -m 666 "$LAB/dev/gn2/nvidia$i" c 195 "$i"; done
  configure

  dd if=/dev/urandom of="$LAB/munge/munge.key" bs=128 count=1 status=none
  chown -R munge: "$LAB/munge" "$LAB/run/munge"
  chmod 700 "$LAB/munge"
  chmod 600 "$LAB/munge/munge.key"
  runuser -u munge -- munged --socket="$LAB/run/munge/munge.sock" --key-file="$LAB/munge/munge.key" \
    --pid-file="$LAB/run/munge/munged.pid" --log-file="$LAB/munge/munged.log" --seed-file="$LAB/munge/seed"

  chown mysql: "$LAB/mysql" "$LAB/run/mysql"
  [ -d "$LAB/mysql/mysql" ] || mariadb-install-db --no-defaults --user=mysql --datadir="$LAB/mysql" --skip-test-db \
    --auth-root-authentication-method=normal >"$LAB/log/mariadb-install.log" 2>&1
  setsid mariadbd --no-defaults --user=mysql --datadir="$LAB/mysql" --socket="$LAB/run/mysql/mysqld.sock" \
    --pid-file="$LAB/run/mysql/mysqld.pid" --bind-address=127.0.0.1 --port=$((PORTS + 6)) \
    --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 --innodb-flush-log-at-trx-commit=2 \
    >"$LAB/log/mariadb.log" 2>&1 </dev/null &
  local sql="mariadb --no-defaults --socket=$LAB/run/mysql/mysqld.sock"
  for _ in $(seq 150); do $sql -e 'SELECT 1' >/dev/null 2>&1 && break; sleep 0.2; done
  $sql -e "CREATE DATABASE IF NOT EXISTS slurm_acct_db; CREATE USER IF NOT EXISTS slurm@'127.0.0.1' IDENTIFIED BY 'labpw';
    GRANT ALL ON slurm_acct_db.* TO slurm@'127.0.0.1';"

  # A slurmctld keeps its way to the database by the folder of SLURM_CONF; each daemon goes to the background by itself.
  slurmdbd
  for _ in $(seq 150); do (exec 3<>"/dev/tcp/127.0.0.1/$((PORTS + 19))") 2>/dev/null && break; sleep 0.1; done
  timeout 20 sacctmgr -i -Q add cluster lab >/dev/null 2>&1 || true
  timeout 20 sacctmgr -i -Q add account research Description=research Organization=lab >/dev/null 2>&1 || true
  timeout 20 sacctmgr -i -Q add account infra Description=infra Organization=lab >/dev/null 2>&1 || true
  timeout 20 sacctmgr -i -Q add user alice Account=research >/dev/null 2>&1 || true
  timeout 20 sacctmgr -i -Q add user bob Account=infra >/dev/null 2>&1 || true
  slurmctld
  for node in gn1 gn2; do slurmd -N "$node"; done
  for _ in $(seq 150); do
    [ "$(timeout 5 sinfo -h -N -t idle -o %N 2>/dev/null | sort -u | wc -l)" = 2 ] && return 0
    sleep 0.2
  done
  echo "the nodes did not become idle:" >&2
  timeout 5 sinfo -N -o '%N %T %G %E' >&2 || true
  tail -5 "$LAB"/log/*.log >&2
  return 1
}

case "$ACTION" in
  up) up ;;
  down) down ;;
  *) echo "unknown: $ACTION" >&2; exit 2 ;;
esac
