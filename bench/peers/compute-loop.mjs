// Computes until its parent disconnects. Notifies the parent of its start.
process.send?.({ started: true });
while (process.connected) {
  const until = performance.now() + 20;
  while (performance.now() < until);
  await new Promise(setImmediate);
}
