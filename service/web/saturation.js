// Where a function goes flat in a dtype: the x from which on its output no longer changes. Asked of the service itself,
// coarsely over all magnitudes and then finer between the two points where it changes last.

import { postJson } from "./api.js";

const LARGEST = { float16: 65504, float32: 3.4e38, float64: 1.79e308 };
const SMALLEST = 2 ** -10;
const COARSE = 400;
const FINE = 64;
const ROUNDS = 3;

/** From −largest to the largest, with equal steps in magnitude, and 0. */
function magnitudes(largest) {
  const step = (Math.log(largest) - Math.log(SMALLEST)) / (COARSE - 1);
  const up = Array.from({ length: COARSE }, (_, at) => Math.min(largest, Math.exp(Math.log(SMALLEST) + step * at)));
  return [...up.map((x) => -x).reverse(), 0, ...up];
}

const between = (a, b) => Array.from({ length: FINE + 1 }, (_, at) => a + (b - a) * (at / FINE));

/** The outputs at these x; a function along an axis is asked for each x beside a 0, as its curve is drawn. */
async function outputs(row, parameters, dtype, x, signal) {
  const data = row.elementwise ? x : x.map((each) => [each, 0]);
  const answer = await postJson(`/v1/activations/${row.name}`, { data, dtype, parameters }, signal);
  return row.elementwise ? answer.data : answer.data.map((pair) => pair[0]);
}

/** The pair of neighbours, from the outside inwards, between which the output first changes; null if it never stays. */
function lastChange(x, y) {
  const at = y.findIndex((each) => each !== y[0]);
  if (at === -1) return { limit: y[0], flat: x.at(-1), moving: null };
  return at > 1 ? { limit: y[0], flat: x[at - 1], moving: x[at] } : null;
}

async function narrowed(found, ask) {
  let { flat, moving } = found;
  for (let round = 0; round < ROUNDS && moving !== null; round += 1) {
    const x = between(flat, moving);
    const y = await ask(x);
    const at = y.findIndex((each) => each !== found.limit);
    if (at < 1) break; // rounding to the dtype made the ends equal
    [flat, moving] = [x[at - 1], x[at]];
  }
  return { from: flat, limit: found.limit };
}

/** With the end as the dtype has it: what was asked for is rounded before the function sees it. */
async function rounded(end, dtype, signal) {
  if (!end) return null;
  const { data } = await postJson("/v1/activations/identity", { data: [end.from], dtype }, signal);
  return { ...end, from: data[0] };
}

/** In each direction `{from, limit}`, or null where the output changes for ever: `{minus, plus}`. */
export async function saturation(row, parameters, dtype, signal) {
  const ask = (x) => outputs(row, parameters, dtype, x, signal);
  const x = magnitudes(LARGEST[dtype]);
  const y = await ask(x);
  const ends = { minus: lastChange(x, y), plus: lastChange([...x].reverse(), [...y].reverse()) };
  const found = await Promise.all(Object.values(ends).map((end) => end && narrowed(end, ask)));
  return { minus: await rounded(found[0], dtype, signal), plus: await rounded(found[1], dtype, signal) };
}
