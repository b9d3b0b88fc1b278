// What the API answers, as far as this page reads it. Stands in for the types that are generated
// from openapi.json: the page imports its types from here and from nowhere else.

export type Reason =
  | "timeout"
  | "circuit_open"
  | "saturated"
  | "unreachable"
  | "rate_limited"
  | "upstream_error"
  | "bad_response";

export interface Section {
  status: "ok" | "stale" | "unavailable";
  reason: Reason | null;
  age: number | null;
  retry_after: number | null;
}

export type Sections = Record<string, Section>;

export interface Marks {
  is_favorite?: boolean | null;
  is_in_watchlist?: boolean | null;
  user_rating?: number | null;
}

export interface Film extends Marks {
  id: number;
  title: string | null;
  original_title?: string;
  overview?: string;
  release_date: string | null;
  poster_path: string | null;
  backdrop_path?: string | null;
  vote_average?: number;
  vote_count?: number;
  progress?: number | null;
  because?: Because;
}

export interface Because {
  kind: "favorite" | "trending";
  id: number | null;
  title: string | null;
}

export interface Stats {
  total_favorites: number | null;
  total_watchlist: number | null;
  movies_watched: number | null;
  avg_rating: number | null;
  favorite_genres: { id: number; name: string; count: number }[] | null;
}

export interface Complete {
  popular_movies: Film[] | null;
  trending_movies: Film[] | null;
  recommended_for_you: Film[] | null;
  continue_watching: Film[] | null;
  stats: Stats;
  sections: Sections;
}

export interface Feed {
  movies: Film[];
  total_pages: number;
  current_page: number;
  total_results: number;
  sections: Sections;
}

export interface Search {
  results: Film[];
  query: string;
  page: number;
  total_pages: number;
  total_results: number;
  sections: Sections;
}

export interface Person {
  id: number;
  name: string;
  profile_path: string | null;
  character?: string;
  job?: string;
}

export interface Enriched extends Film {
  genres: { id: number; name: string }[];
  runtime: number | null;
  status: string | null;
  tagline: string;
  budget: number;
  revenue: number;
  original_language?: string;
  production_countries: { iso_3166_1: string | null; name: string }[];
  spoken_languages: { iso_639_1: string | null; english_name: string }[];
  belongs_to_collection: { id: number; name: string } | null;
  user_data: Marks & {
    watched_date: string | null;
    progress?: number | null;
    added_to_favorites_date: string | null;
    added_to_watchlist_date: string | null;
  };
  cast: Person[] | null;
  crew: Person[] | null;
  reviews_count: number | null;
  similar_movies: Film[] | null;
  recommended_movies: Film[] | null;
  sections: Sections;
}

export interface Item {
  movie_id: number;
  title: string | null;
  poster_path: string | null;
  release_date: string | null;
  rating?: number | null;
  progress?: number;
  watched_date?: string | null;
}

export interface Configuration {
  images: { base_url: string; poster_sizes: string[]; backdrop_sizes: string[]; profile_sizes: string[] };
  tmdb: "live" | "stub";
  attribution: string;
}

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
