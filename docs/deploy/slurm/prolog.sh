#!/bin/sh
# gpuledger's part of Slurm's Prolog: declares at once which devices a job has on this node. Slurm forgets them when the
# job ends. The sources' runner declares everything else, and all of it where this cannot.
#
# It never delays or fails a job: it ends within milliseconds and always well; what asks and sends does so behind it, for
# 20 seconds at most. Settings, as shell variables, in /etc/gpuledger/slurm-hooks.conf:
#   GPULEDGER_URL=https://ledger.example.org
#   GPULEDGER_TOKEN_FILE=/etc/gpuledger/scheduler-token     a token of role scheduler, readable for root alone
#   GPULEDGER_SOURCE_INSTANCE=lab                           default: the cluster's name
#   GPULEDGER_INDICES=bus                                   Slurm counts devices in the order of the bus (AutoDetect=nvml), not as
#                                                           their device nodes are numbered
# Needs curl, and squeue in PATH or in SLURM_BIN. epilog.sh, beside this file, says the same with an end.

PATH=${SLURM_BIN:-/usr/local/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
[ -r "${GPULEDGER_HOOKS_CONF:=/etc/gpuledger/slurm-hooks.conf}" ] || exit 0
. "$GPULEDGER_HOOKS_CONF"

# A value that is not of these characters is not sent: nothing here has to be quoted for JSON.
plain() { case $1 in '' | *[!A-Za-z0-9._@+-]*) return 1 ;; esac; }
number() { case $1 in '' | *[!0-9]*) return 1 ;; esac; }

indices=${SLURM_JOB_GPUS:-${CUDA_VISIBLE_DEVICES:-}}
# A job without devices: nothing to say here.
case $indices in '' | *[!0-9,]* | ,* | *, | *,,*) exit 0 ;; esac
if [ "${GPULEDGER_INDICES:-}" = bus ]; then
  # The folders are named by address, so their order is that of the bus; the driver says which is /dev/nvidia3.
  minors=$(cat "${GPULEDGER_PROC:-/proc}"/driver/nvidia/gpus/*/information 2>/dev/null |
    awk -F: -v wanted="$indices" '/^Device Minor/ { gsub(/[^0-9]/, "", $2); minor[found++] = $2 }
      END { for (at = split(wanted, list, ","); at > 0; at--) {
        if (minor[list[at]] == "") exit
        all = minor[list[at]] (all == "" ? "" : ",") all
      } print all }')
  indices=$minors
  case $indices in '') exit 0 ;; esac
fi
number "${SLURM_JOB_ID:-}" && plain "${SLURMD_NODENAME:-}" && [ -r "${GPULEDGER_TOKEN_FILE:-}" ] || exit 0
instance=${GPULEDGER_SOURCE_INSTANCE:-${SLURM_CLUSTER_NAME:-}}
plain "$instance" && [ -n "${GPULEDGER_URL:-}" ] || exit 0

pairs=''
number "${SLURM_JOB_UID:-}" && pairs="$pairs,\"uid\":$SLURM_JOB_UID"
plain "${SLURM_JOB_USER:-}" && pairs="$pairs,\"user\":\"$SLURM_JOB_USER\""
account=${SLURM_JOB_ACCOUNT:-none}
plain "$account" || account=none
end=''
[ "${GPULEDGER_HOOK:-prolog}" = epilog ] && end=",\"end\":\"$(date -u +%Y-%m-%dT%H:%M:%SZ)\""

# Columns that Slurm writes itself; a job's name could forge more of them.
send='
answer=$(TZ=UTC timeout 8 squeue --noheader --jobs="$ID" --states=all -O "JobID:|,SubmitTime:|,StartTime:|,tres-alloc:|" 2>/dev/null |
  grep -m 1 "^ *$ID *|") || exit 0
IFS="|" read -r _ submit start tres _ <<X
$answer
X
# Parts of devices are told by the runner, which knows how large they are.
case $tres in *shard* | *g.*gb*) exit 0 ;; esac
submit=$(printf %s "$submit" | tr -d " ")
start=$(printf %s "$start" | tr -d " ")
case "$submit$start" in *[!0-9T:-]*) exit 0 ;; esac
incarnation=$(date -u -d "$submit" +%s) || exit 0
{ printf "Authorization: Bearer "; cat "$TOKEN_FILE"; } |
  curl --silent --max-time 10 --output /dev/null --header @- --header "Content-Type: application/json" --data "{
    \"source\":\"slurm\",\"sourceInstance\":\"$INSTANCE\",\"externalId\":\"$ID\",\"incarnation\":$incarnation,
    \"partial\":true,\"account\":\"$ACCOUNT\",\"start\":\"${start}Z\"$PAIRS,
    \"allocations\":[{\"node\":\"$NODE\",\"indices\":[$INDICES]$END}]}" "$URL/v1/jobs"
'
# In a session of its own: slurmd ends what is left of a hook in its process group.
env -u LD_PRELOAD -u LD_LIBRARY_PATH ID="$SLURM_JOB_ID" NODE="$SLURMD_NODENAME" INDICES="$indices" END="$end" PAIRS="$pairs" \
  ACCOUNT="$account" INSTANCE="$instance" URL="${GPULEDGER_URL%/}" TOKEN_FILE="$GPULEDGER_TOKEN_FILE" \
  setsid -f timeout 20 sh -c "$send" </dev/null >/dev/null 2>&1
exit 0
