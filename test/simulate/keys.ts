/** How the oracle and the rows of a ledger name the same things. */

/** For no job at all. */
export const NO_JOB = '-';
export const processKey = (bootId: string, pid: number, ticks: number): string => `${bootId}/${pid}/${ticks}`;
export const jobKey = (source: string, id: string, incarnation: number): string =>
  `${source} ${id} ${incarnation}`;
export const tripleOf = (device: string, process: string, job: string): string =>
  `${device}|${process}|${job}`;
