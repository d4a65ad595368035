/** The item at an index that is there. What is missing is never taken for zero: it is a fault of the code, and says so. */
export function at<T>(items: readonly T[], index: number): T {
  const item = items[index];
  if (item === undefined) throw new RangeError(`there is no item ${index} among ${items.length}`);
  return item;
}
