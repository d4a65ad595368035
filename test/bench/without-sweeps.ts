/** Loaded before the agent (`--import`): it looks at the GPUs' processes and their lineage, and at nothing else of the node. */
import { DeviceHolders } from '../../collector/device-holders.ts';
import { HiddenProcesses } from '../../collector/hidden-processes.ts';
import { JobMembers } from '../../collector/job-members.ts';

DeviceHolders.prototype.step = () => undefined;
HiddenProcesses.prototype.lookAtMounts = () => undefined;
HiddenProcesses.prototype.lookAtMembers = () => undefined;
// Sockets are those of the members.
JobMembers.prototype.scan = () => ({ pids: [], whole: true });
