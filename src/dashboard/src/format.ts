// Values as people read them.

export function count(value: number | undefined): string {
  return value === undefined ? "–" : value.toLocaleString("en");
}

export function micros(value: number): string {
  return value < 1_000 ? `${value} µs` : value < 1_000_000 ? `${(value / 1_000).toFixed(1)} ms` : `${(value / 1e6).toFixed(2)} s`;
}

/** A length of time in milliseconds. */
export function span(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1_000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 60) return `${minutes} min ${Math.floor((ms % 60_000) / 1_000)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export function time(text: string | null): string {
  return text ? new Date(text).toLocaleTimeString("en-GB", { hour12: false }) : "–";
}

export function moment(text: string | null): string {
  return text ? new Date(text).toLocaleString("en-GB", { hour12: false }) : "–";
}

/** "3.2 s ago", "in 2 h 5 min". */
export function relative(text: string | null, now = Date.now()): string {
  if (!text) return "–";
  const distance = now - Date.parse(text);
  return distance >= 0 ? `${span(distance)} ago` : `in ${span(-distance)}`;
}

export function between(from: string | null, to: string | null): string {
  return from ? span((to ? Date.parse(to) : Date.now()) - Date.parse(from)) : "–";
}

export function short(value: unknown, limit = 80): string {
  const text = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
  return text.length > limit ? `${text.slice(0, limit - 1)}…` : text;
}
