// Decisions that runs wait for.

import type { JSX } from "preact";
import { useState } from "preact/hooks";
import { part, post } from "../api";
import { Action, Dialog, Empty, RunLink, Trouble, useNotify } from "../parts/basics";
import { blank, Fields } from "../parts/form";
import { relative, short } from "../format";
import { link, useLoaded, useSetting } from "../hooks";
import type { Approval } from "../types";

export function Approvals(): JSX.Element {
  const found = useLoaded<{ approvals: Approval[] }>("approvals?limit=500", 2_000);
  const [open, setOpen] = useState<Approval | null>(null);
  return (
    <>
      <h1>Approvals</h1>
      <Trouble error={found.error} />
      {found.data?.approvals.length === 0 && <Empty>Nobody is asked for anything.</Empty>}
      <div class="scroll" tabIndex={0} role="region" aria-label="table">
        <table>
          <tbody>
            {found.data?.approvals.map((each) => (
              <tr key={`${each.run} ${each.name} ${each.node}`}>
                <td>
                  <b>{each.name}</b> {each.to !== null && each.to !== "" && <small>asked of {short(each.to)}</small>}
                </td>
                <td>
                  <a href={link("workflows", each.workflow)}>{each.workflow}</a> <RunLink id={each.run} /> {each.key}
                </td>
                <td>{each.due && `due ${relative(each.due)}`}</td>
                <td>{each.escalations > 0 && `escalated ${each.escalations}×`}</td>
                <td>
                  <Action label="Decide…" kind="primary" run={async () => setOpen(each)} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {open && <Decide approval={open} close={() => (setOpen(null), found.reload())} />}
    </>
  );
}

function Decide({ approval, close }: { approval: Approval; close: () => void }): JSX.Element {
  const [by, setBy] = useSetting("name", "");
  const [comment, setComment] = useState("");
  const [data, setData] = useState<unknown>(() => (approval.form ? blank(approval.form, approval.form) : null));
  const notify = useNotify();
  const decide = (approved: boolean) => async () => {
    await post(`approvals/${part(approval.run)}/${part(approval.name)}`, { approved, by, comment, data });
    notify(approved ? "approved" : "rejected");
    close();
  };
  return (
    <Dialog title={`${approval.name}, for ${approval.workflow}`} close={close}>
      {approval.form && <Fields schema={approval.form} root={approval.form} name="data" value={data} change={setData} />}
      <label class="field">
        <span>your name</span>
        <input type="text" autocomplete="name" value={by} onInput={(event) => setBy(event.currentTarget.value)} />
      </label>
      <label class="field">
        <span>comment</span>
        <input type="text" value={comment} onInput={(event) => setComment(event.currentTarget.value)} />
      </label>
      <Action label="Approve" kind="primary" run={decide(true)} /> <Action label="Reject" kind="danger" run={decide(false)} />
    </Dialog>
  );
}
