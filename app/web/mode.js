// How the site is controlled, why, and what an operator should know of.

import { ago, chip, element } from "./format.js";

const WORDS = {
  optimised: "optimised", last_plan: "last plan", rule_based: "by rules", failsafe: "fail-safe", manual: "manual",
  shadow: "shadow: nothing is sent",
};
const TONES = { optimised: "good", last_plan: "warn", rule_based: "warn", failsafe: "bad", manual: "warn", shadow: "warn" };

export function showMode(badge, banner, mode, now) {
  if (mode == null) return;
  badge.replaceChildren(chip(WORDS[mode.mode], TONES[mode.mode], mode.reason));
  banner.hidden = mode.mode === "optimised";
  banner.classList.toggle("bad", mode.mode === "failsafe");
  banner.textContent = `Mode ${WORDS[mode.mode]}, since ${ago(mode.since, now)}. ${mode.reason}`;
}

export function showAlarms(list, alarms, now) {
  list.hidden = alarms.length === 0;
  list.replaceChildren(...alarms.map((alarm) => element("li", {}, `${alarm.detail} (${ago(alarm.raised_at, now)})`)));
}
