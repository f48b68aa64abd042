import { expect, it } from "vitest";
import { checkHistory, type FinalReply, type History, type Publish, type SubmittedCommand } from "./check-history.ts";

const empty: History = { published: [], arrived: [], delivered: [], commands: [], finals: [], runs: [] };
const publish = (number: number, more: Partial<Publish> = {}): Publish => ({ id: `p${number}`, publisher: "p", number, acknowledged: true, toSession: true, ...more });
const command = (id: string, more: Partial<SubmittedCommand> = {}): SubmittedCommand => ({ id, gateway: "gw", idempotent: false, runsAreSeen: true, ...more });
const final = (id: string, code = "OK", more: Partial<FinalReply> = {}): FinalReply => ({ id, n: 1, code, reason: null, late: false, ...more });

it("is content with what at least once allows: copies, another order of copies, more than was acknowledged", () => {
  const history: History = {
    published: [publish(1), publish(2), publish(3, { acknowledged: false }), publish(4, { acknowledged: false, toSession: false })],
    arrived: ["p2", "p1", "p2", "p3"],
    delivered: ["p1", "p2", "p1", "p3", "p2"],
    commands: [command("c1"), command("c2"), command("c3", { idempotent: true }), command("c4"), command("c5")],
    finals: [
      final("c1"),
      final("c1"),
      final("c2", "UNKNOWN", { reason: "IN_DOUBT" }),
      final("c2", "OK", { n: 2, late: true }),
      final("c3"),
      final("c4", "DEADLINE_EXCEEDED", { reason: "NOT_DELIVERED" }),
      final("c5", "UNKNOWN", { reason: "INTERRUPTED_BY_CRASH" }),
    ],
    runs: ["c1", "c2", "c3", "c3", "c5"],
  };
  expect(checkHistory(history)).toEqual([]);
});

const wrong: readonly [what: string, history: Partial<History>, violation: RegExp][] = [
  ["an acknowledged publish is not in RocketMQ", { published: [publish(1), publish(2)], arrived: ["p1"], delivered: ["p1", "p2"] }, /p2 was acknowledged and is not in RocketMQ/],
  ["RocketMQ has what nobody published", { arrived: ["x"] }, /x is in RocketMQ and nobody/],
  ["an acknowledged publish never came to the session", { published: [publish(1)], arrived: ["p1"] }, /p1 was acknowledged and the session never/],
  ["first deliveries swap the messages of a publisher", { published: [publish(1), publish(2)], arrived: ["p1", "p2"], delivered: ["p2", "p1"] }, /p1 first came after p2/],
  ["the session got what was not for it", { published: [publish(1, { toSession: false })], arrived: ["p1"], delivered: ["p1"] }, /p1 came to the session/],
  ["a command has no final reply", { commands: [command("c")], runs: ["c"] }, /c to gw has no final reply/],
  ["a command ran twice", { commands: [command("c")], finals: [final("c")], runs: ["c", "c"] }, /c ran 2 times/],
  ["a command expired and ran", { commands: [command("c")], finals: [final("c", "DEADLINE_EXCEEDED", { reason: "NOT_ACCEPTED" })], runs: ["c"] }, /NOT_ACCEPTED and ran/],
  ["a command succeeded and never ran", { commands: [command("c")], finals: [final("c")] }, /told OK and never ran/],
  ["two finals with the same number differ", { commands: [command("c")], finals: [final("c"), final("c", "UNKNOWN")], runs: ["c"] }, /two replies n=1: OK and UNKNOWN/],
  ["a second final comes after a certain first", { commands: [command("c")], finals: [final("c"), final("c", "OK", { n: 2, late: true })], runs: ["c"] }, /late final OK after OK/],
  ["a second final does not say it is late", { commands: [command("c")], finals: [final("c", "UNKNOWN"), final("c", "OK", { n: 2 })], runs: ["c"] }, /not late/],
  ["a command was answered that nobody sent", { finals: [final("c")] }, /nobody sent it/],
];
it.each(wrong)("notices when %s", (_, history, violation) => {
  expect(checkHistory({ ...empty, ...history })).toEqual([expect.stringMatching(violation)]);
});
