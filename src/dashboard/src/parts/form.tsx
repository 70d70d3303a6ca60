// A form made from a JSON Schema; what it cannot draw as fields is a text of JSON.

import type { JSX } from "preact";
import type { Schema } from "../types";

export function resolve(schema: Schema | null | undefined, root: Schema | null): Schema {
  let found: Schema = schema ?? {};
  for (let depth = 0; found.$ref && depth < 20; depth += 1) {
    let target: unknown = root;
    for (const step of found.$ref.replace(/^#\//, "").split("/")) target = (target as Record<string, unknown> | undefined)?.[step];
    found = (target as Schema | undefined) ?? {};
  }
  return found;
}

/** A value to begin with. */
export function blank(schema: Schema | null, root: Schema | null): unknown {
  const found = resolve(schema, root);
  if (found.default !== undefined) return found.default;
  if (found.enum) return found.enum[0];
  switch (kindOf(found)) {
    case "object":
      return Object.fromEntries(
        Object.entries(found.properties ?? {})
          .filter(([name]) => found.required?.includes(name))
          .map(([name, each]) => [name, blank(each, root)]),
      );
    case "array":
      return [];
    case "string":
      return "";
    case "boolean":
      return false;
    case "integer":
    case "number":
      return 0;
    default:
      return null;
  }
}

function kindOf(schema: Schema): string {
  const kind = Array.isArray(schema.type) ? schema.type.find((each) => each !== "null") : schema.type;
  return kind ?? (schema.properties ? "object" : "any");
}

export function Fields(props: {
  schema: Schema | null;
  root: Schema | null;
  value: unknown;
  change: (value: unknown) => void;
  name: string;
  path?: string;
}): JSX.Element {
  const schema = resolve(props.schema, props.root);
  const path = props.path ?? props.name;
  const kind = kindOf(schema);
  if (kind === "object" && schema.properties) {
    const held = (props.value ?? {}) as Record<string, unknown>;
    return (
      <fieldset>
        {props.name && <legend>{props.name}</legend>}
        {Object.entries(schema.properties).map(([name, each]) => (
          <Fields
            key={name}
            schema={each}
            root={props.root}
            name={name}
            path={`${path}.${name}`}
            value={held[name]}
            change={(value) => props.change({ ...held, [name]: value })}
          />
        ))}
      </fieldset>
    );
  }
  return (
    <label class="field">
      <span>
        {props.name || "input"} <small>{schema.description ?? kind}</small>
      </span>
      <Input kind={kind} schema={schema} value={props.value} change={props.change} />
    </label>
  );
}

function Input(props: { kind: string; schema: Schema; value: unknown; change: (value: unknown) => void }): JSX.Element {
  const { kind, schema, value, change } = props;
  if (schema.enum) {
    return (
      <select value={JSON.stringify(value)} onChange={(event) => change(JSON.parse(event.currentTarget.value))}>
        {schema.enum.map((each) => (
          <option key={JSON.stringify(each)} value={JSON.stringify(each)}>
            {String(each)}
          </option>
        ))}
      </select>
    );
  }
  if (kind === "boolean") {
    return <input type="checkbox" checked={value === true} onChange={(event) => change(event.currentTarget.checked)} />;
  }
  if (kind === "integer" || kind === "number") {
    return (
      <input
        type="number"
        step={kind === "integer" ? 1 : "any"}
        value={value === undefined || value === null ? "" : String(value)}
        onInput={(event) => change(event.currentTarget.value === "" ? undefined : Number(event.currentTarget.value))}
      />
    );
  }
  if (kind === "string") {
    return <input type="text" value={typeof value === "string" ? value : ""} onInput={(event) => change(event.currentTarget.value)} />;
  }
  return <JsonInput value={value} change={change} />;
}

export function JsonInput(props: { value: unknown; change: (value: unknown) => void; label?: string }): JSX.Element {
  const check = (area: HTMLTextAreaElement) => {
    try {
      props.change(area.value.trim() === "" ? undefined : JSON.parse(area.value));
      area.setCustomValidity("");
    } catch (error) {
      area.setCustomValidity(error instanceof Error ? error.message : "this is no JSON");
    }
    area.reportValidity();
  };
  return (
    <textarea
      class="mono"
      rows={4}
      spellcheck={false}
      aria-label={props.label}
      onChange={(event) => check(event.currentTarget)}
      defaultValue={props.value === undefined ? "" : JSON.stringify(props.value, null, 2)}
    />
  );
}
