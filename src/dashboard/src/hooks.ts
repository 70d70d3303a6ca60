// Data that stays fresh, the place in the address bar, and the viewer's own settings.

import { useCallback, useEffect, useState } from "preact/hooks";
import { Failure, get } from "./api";

export interface Loaded<T> {
  data: T | null;
  error: Failure | null;
  reload: () => void;
}

/** Loads `path` now and, while the page is looked at, every `everyMs`. A null path loads nothing. */
export function useLoaded<T>(path: string | null, everyMs = 0): Loaded<T> {
  const [state, setState] = useState<{ path: string | null; data: T | null; error: Failure | null }>({
    path,
    data: null,
    error: null,
  });
  const [turn, setTurn] = useState(0);
  const reload = useCallback(() => setTurn((n) => n + 1), []);
  useEffect(() => {
    if (path === null) return;
    let over = false;
    let timer: number | undefined;
    const load = async () => {
      try {
        const data = await get<T>(path);
        if (!over) setState({ path, data, error: null });
      } catch (error) {
        if (!over && error instanceof Failure) setState((old) => ({ path, data: old.path === path ? old.data : null, error }));
      }
      if (!over && everyMs > 0) timer = window.setTimeout(again, everyMs);
    };
    const again = () => (document.hidden ? (timer = window.setTimeout(again, everyMs)) : void load());
    void load();
    return () => {
      over = true;
      window.clearTimeout(timer);
    };
  }, [path, everyMs, turn]);
  return state.path === path ? { data: state.data, error: state.error, reload } : { data: null, error: null, reload };
}

/** The path behind the `#`, split at slashes and decoded, and what follows its `?`. */
export interface Place {
  parts: string[];
  values: URLSearchParams;
}

export function placeOf(hash: string): Place {
  const [path = "", values = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const decode = (text: string) => {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  };
  return { parts: path.split("/").filter(Boolean).map(decode), values: new URLSearchParams(values) };
}

export function usePlace(): Place {
  const [place, setPlace] = useState(() => placeOf(location.hash));
  useEffect(() => {
    const follow = () => {
      setPlace(placeOf(location.hash));
      window.scrollTo(0, 0);
    };
    window.addEventListener("hashchange", follow);
    return () => window.removeEventListener("hashchange", follow);
  }, []);
  return place;
}

export function link(...parts: string[]): string {
  return `#/${parts.map(encodeURIComponent).join("/")}`;
}

/** A setting that this browser remembers. */
export function useSetting(name: string, initial: string): [string, (value: string) => void] {
  const key = `wfe.${name}`;
  const [value, setValue] = useState(() => localStorage.getItem(key) ?? initial);
  const set = (next: string) => {
    localStorage.setItem(key, next);
    setValue(next);
  };
  return [value, set];
}
