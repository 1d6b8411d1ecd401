// A program that starts a cluster, prints its processes and then waits to be killed.
import { StockCluster } from '../clusters/stock-cluster.js';

const cluster = await StockCluster.start({ version: '7.1', engines: 1 });
console.log(JSON.stringify({ pids: await cluster.pids(), directory: cluster.directory }));
setInterval(() => {}, 60_000);
