// Requests to the gateway. Whatever goes wrong is a `Failure` with words for people.

import type { Problem } from "./types";

export const API = "api/v1";

export class Failure extends Error {
  constructor(
    readonly status: number,
    readonly problem: Problem,
  ) {
    const places = (problem.errors ?? []).map((each) => `${each.pointer ?? each.parameter ?? ""} ${each.detail}`.trim());
    super([problem.detail || problem.title, ...places].filter(Boolean).join("; "));
  }
}

let onLoggedOut: () => void = () => undefined;

/** What happens when the gateway does not know this browser (any more). */
export function whenLoggedOut(then: () => void): void {
  onLoggedOut = then;
}

type Query = Record<string, string | number | boolean | string[] | null | undefined>;

export function query(values: Query): string {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === undefined || value === "") continue;
    for (const each of Array.isArray(value) ? value : [String(value)]) found.append(name, each);
  }
  const text = found.toString();
  return text && `?${text}`;
}

async function request(method: string, path: string, body?: unknown, type = "application/json"): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(`${API}/${path}`, {
      method,
      headers: body === undefined ? {} : { "content-type": type },
      body: body === undefined ? undefined : typeof body === "string" && type !== "application/json" ? body : JSON.stringify(body),
    });
  } catch {
    throw new Failure(0, { title: "The gateway cannot be reached", status: 0 });
  }
  if (answer.ok) return answer;
  const problem = (await answer.json().catch(() => ({ title: answer.statusText, status: answer.status }))) as Problem;
  if (answer.status === 401) onLoggedOut();
  throw new Failure(answer.status, problem);
}

export async function get<T>(path: string): Promise<T> {
  return (await (await request("GET", path)).json()) as T;
}

export async function getText(path: string): Promise<string> {
  return (await request("GET", path)).text();
}

export async function post<T>(path: string, body: unknown = {}): Promise<T> {
  return (await (await request("POST", path, body)).json()) as T;
}

export async function postText<T>(path: string, body: string, type: string): Promise<T> {
  return (await (await request("POST", path, body, type)).json()) as T;
}

export function part(text: string): string {
  return encodeURIComponent(text);
}
