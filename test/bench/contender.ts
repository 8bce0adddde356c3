/** One of the two processes of the benchmark `hot-item`. */
import { contend } from './benches/hot-item.ts';

const [url, productId, seconds] = process.argv.slice(2) as [string, string, string];
process.send!(await contend(url, productId, Number(seconds)));
process.disconnect!();
