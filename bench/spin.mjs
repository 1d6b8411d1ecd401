// Computes and does nothing else, until its parent is gone.
process.on('disconnect', () => process.exit(0));
for (;;) {
  const until = performance.now() + 20;
  while (performance.now() < until);
  await new Promise(setImmediate);
}
