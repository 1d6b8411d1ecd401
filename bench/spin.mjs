// Computes and does nothing else, until its parent is gone. Tells its parent when it has begun.
process.send?.({ started: true });
while (process.connected) {
  const until = performance.now() + 20;
  while (performance.now() < until);
  await new Promise(setImmediate);
}
