// The trials that none beats: at least as good in quality, memory and speed, and better in one. As analysis/sweep_table/front.py.
export function paretoFront(rows) {
  const groups = new Map();
  for (const row of rows) {
    if (row.outcome !== "finished" || row.peak_bytes == null || row.tokens_per_second == null) continue;
    const key = (row.peak_counter ?? "") + "|" + (row.sample_quality == null);
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push({ id: row.trial_id, gains: [row.sample_quality ?? 0, -row.peak_bytes, row.tokens_per_second] });
  }
  const front = new Set();
  for (const members of groups.values()) {
    // Best first: a later one can then never dominate an earlier one.
    members.sort((a, b) => b.gains[0] - a.gains[0] || b.gains[1] - a.gains[1] || b.gains[2] - a.gains[2]);
    const kept = [];
    for (const { id, gains } of members) {
      const beats = (other) => other.every((value, i) => value >= gains[i]) && other.some((value, i) => value > gains[i]);
      if (kept.some(beats)) continue;
      front.add(id);
      if (!kept.length || kept.at(-1).some((value, i) => value !== gains[i])) kept.push(gains); // of equals one is enough
    }
  }
  return front;
}
