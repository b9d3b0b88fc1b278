// The names under which the page uses the types that are generated from openapi.json: all modules
// import them from here. What the API does not answer stands at the end.

import type { components } from "../../clients/typescript/src/schema";

type Schemas = components["schemas"];

export type Section = Schemas["Section"];
export type Sections = Record<string, Section>;
export type Complete = Schemas["CompleteDashboard"];
export type Feed = Schemas["Feed"];
export type Search = Schemas["EnrichedSearch"];
export type Enriched = Schemas["EnrichedMovie"];
export type Cast = Schemas["CastMember"];
export type Crew = Schemas["CrewMember"];
export type Configuration = Schemas["Configuration"];
export type Item = Schemas["Favorite"] | Schemas["WatchlistItem"] | Schemas["HistoryItem"];
export type Problem = Schemas["Problem"] & Partial<Schemas["UpstreamProblem"]>;

type Card = Pick<Schemas["BegunFilm"], "id" | "title" | "poster_path" | "release_date">;

/** A film of any list: what a card needs, and what only some lists have. */
export type Film = Card &
  Partial<Omit<Schemas["RecommendedFilm"], keyof Card>> &
  Partial<Pick<Schemas["UserData"], "progress" | "watched_date">>;

export type ListName = "favorites" | "watchlist" | "history";

/** A film's place in one of the user's lists; null: it is not in it. */
export interface Mark {
  rating?: number | null;
  progress?: number;
  watched_date?: string | null;
}

/** What a view is given when it is shown. */
export interface View {
  main: HTMLElement;
  url: URL;
  params: string[];
  signal: AbortSignal;
  /** Kept for this entry of the browser's history, and found again on the way back. */
  memory: Record<string, unknown>;
  /** Sets the title of the page. */
  title(text: string): void;
  /** Says that the first content stands: scroll and focus can be put where they belong. */
  ready(): void;
  /** Is called to ask the API again: on focus, after a fault was switched. */
  onRefresh(again: () => void): void;
  /** Is called where the same view gets another address; without it the view is built anew. */
  onUrl(change: (url: URL) => void): void;
}
