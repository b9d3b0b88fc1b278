/** Dates, numbers and lengths as a reader of English expects them. */

import { T } from "./texts.js";

const day = new Intl.DateTimeFormat("en", { dateStyle: "long", timeZone: "UTC" });
const moment = new Intl.DateTimeFormat("en", { dateStyle: "medium" });
const clock = new Intl.DateTimeFormat("en", { timeStyle: "short" });
const dayAndClock = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const money = new Intl.NumberFormat("en", {
  style: "currency",
  currency: "USD",
  notation: "compact",
  maximumFractionDigits: 1,
});

/** @param {string | null | undefined} title */
export const titleOf = (title) => title?.trim() || T.untitled;

/** @param {string | null | undefined} date */
export const yearOf = (date) => date?.slice(0, 4) ?? "";

/** Formats a day such as 1999-10-15. @param {string | null | undefined} date */
export const dayOf = (date) => (date && !isNaN(Date.parse(date)) ? day.format(new Date(date)) : "");

/** Formats a moment by the reader's own clock. @param {string} time */
export const momentOf = (time) => moment.format(new Date(time));

/** @param {number | null | undefined} minutes */
export function lengthOf(minutes) {
  if (!minutes) return "";
  const hours = Math.floor(minutes / 60);
  return [hours && `${hours} h`, minutes % 60 && `${minutes % 60} min`].filter(Boolean).join(" ");
}

/** @param {number} amount */
export const moneyOf = (amount) => money.format(amount);

/** @param {number} mean */
export const meanOf = (mean) => mean.toFixed(1);

/** Formats a moment that lies `age` seconds back, absolutely and relatively. @param {number} age */
export function since(age) {
  const then = new Date(Date.now() - age * 1000);
  const format = age < 20 * 3600 ? clock : dayAndClock;
  return { then, text: `${format.format(then)} (${ago(age)})` };
}

/** @param {number} age */
function ago(age) {
  if (age < 60) return relative.format(-Math.round(age), "second");
  if (age < 3600) return relative.format(-Math.round(age / 60), "minute");
  if (age < 86_400) return relative.format(-Math.round(age / 3600), "hour");
  return relative.format(-Math.round(age / 86_400), "day");
}
