#!/bin/sh
# gpuledger's part of Slurm's Epilog: from now on this node's devices are not the job's. See prolog.sh, beside this file.
GPULEDGER_HOOK=epilog
. "${0%/*}/prolog.sh"
exit 0
