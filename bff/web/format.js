/**
 * Dates, numbers and lengths as a reader of English expects them. By hand: the page is English
 * alone, and the browser's own formatters cost tens of milliseconds before the first content.
 */

import { T } from "./texts.js";

/** @param {string | null | undefined} title */
export const titleOf = (title) => title?.trim() || T.untitled;

/** @param {string | null | undefined} date */
export const yearOf = (date) => date?.slice(0, 4) ?? "";

/** @param {number} number */
export const countOf = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, ",");

/** @param {number} mean */
export const meanOf = (mean) => mean.toFixed(1);

/** Formats a day such as 1999-10-15; empty where it is none. @param {string | null | undefined} date */
export function dayOf(date) {
  const [, year, month, day] = /^(\d{4})-(\d\d)-(\d\d)$/.exec(date ?? "") ?? [];
  const name = T.months[Number(month) - 1];
  return name ? `${name} ${Number(day)}, ${year}` : "";
}

/** Formats the day of a moment by the reader's own clock. @param {string | number} time */
export function momentOf(time) {
  const then = new Date(time);
  return `${T.months[then.getMonth()] ?? ""} ${then.getDate()}, ${then.getFullYear()}`;
}

/** @param {number | null | undefined} minutes */
export function lengthOf(minutes) {
  if (!minutes) return "";
  const hours = Math.floor(minutes / 60);
  return [hours && `${hours} h`, minutes % 60 && `${minutes % 60} min`].filter(Boolean).join(" ");
}

/** @param {number} dollars */
export function moneyOf(dollars) {
  for (const [unit, letter] of /** @type {[number, string][]} */ ([[1e9, "B"], [1e6, "M"], [1e3, "K"]])) {
    if (dollars >= unit) return `$${(dollars / unit).toFixed(1).replace(".0", "")}${letter}`;
  }
  return `$${dollars}`;
}

/** Formats a moment that lies `age` seconds back, absolutely and relatively. @param {number} age */
export function since(age) {
  const then = new Date(Date.now() - age * 1000);
  const minutes = String(then.getMinutes()).padStart(2, "0");
  const clock = `${then.getHours()}:${minutes}`;
  const day = age < 20 * 3600 ? "" : `${momentOf(then.getTime())}, `;
  return { then, text: `${day}${clock} (${T.ago(age)})` };
}
