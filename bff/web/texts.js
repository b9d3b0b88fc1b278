/** Every English text of the page. */

/** @param {number} count @param {string} one @param {string} many */
const plural = (count, one, many) =>
  `${String(count).replace(/\B(?=(\d{3})+$)/g, ",")} ${count === 1 ? one : many}`;

const service = { films: "The film service", lists: "The list service" };

/** @type {Record<string, string>} */
const reasons = {
  timeout: "takes too long to answer",
  circuit_open: "failed several times and is being given a rest",
  saturated: "has too much to do at the moment",
  unreachable: "cannot be reached",
  rate_limited: "asked us to slow down",
  upstream_error: "answers with an error",
  bad_response: "sent something that cannot be read",
};

export const T = {
  name: "Movie Dashboard",
  title: (/** @type {string} */ page) => (page ? `${page} · Movie Dashboard` : "Movie Dashboard"),
  untitled: "Untitled film",
  loading: "Loading",
  months: [
    ...["January", "February", "March", "April", "May", "June", "July"],
    ...["August", "September", "October", "November", "December"],
  ],
  ago: (/** @type {number} */ seconds) => {
    if (seconds < 60) return `${plural(Math.round(seconds), "second", "seconds")} ago`;
    if (seconds < 3600) return `${plural(Math.round(seconds / 60), "minute", "minutes")} ago`;
    if (seconds < 86_400) return `${plural(Math.round(seconds / 3600), "hour", "hours")} ago`;
    return `${plural(Math.round(seconds / 86_400), "day", "days")} ago`;
  },

  home: "Home",
  feed: "Feed",
  library: "Library",
  search: "Search",
  searchLabel: "Search films",

  sections: /** @type {Record<string, string>} */ ({
    popular: "Popular now",
    trending: "Trending this week",
    recommended: "Recommended for you",
    history: "Continue watching",
    stats: "Your numbers",
    movies: "Popular films",
    movie: "This film",
    results: "Search results",
    favorites: "Favourites",
    watchlist: "Watchlist",
  }),
  seeAll: "See all",
  seeAllOf: (/** @type {string} */ what) => `See all: ${what}`,
  back: (/** @type {string} */ what) => `Scroll back: ${what}`,
  forth: (/** @type {string} */ what) => `Scroll on: ${what}`,
  because: (/** @type {string} */ title) => `Because you like ${title}`,
  becauseTrending: "Trending this week",
  nothingRecommended: "No recommendations yet. Favourites bring some.",
  nothingHere: "Nothing here at the moment.",
  someMissing: "Some of these could not be worked out and may be missing.",
  spotlight: "In the spotlight",
  more: "About this film",

  stats: {
    favorites: "Favourites",
    watchlist: "On your watchlist",
    watched: "Watched",
    average: "Your mean rating",
    genres: "Genres you like",
    unknown: "unknown",
    none: "none yet",
  },

  feedIntro: "Popular films, most popular first.",
  earlier: "Show earlier films",
  endOfList: "That is the end of the list.",
  pageEmpty: (/** @type {number} */ page, /** @type {number} */ last) =>
    `There is nothing on page ${page}. The list has ${plural(last, "page", "pages")}.`,
  toFirst: "Go to the first page",
  wrongPage: "That page does not exist. Pages run from 1 to 500.",
  moreFilms: (/** @type {number} */ count) => `${plural(count, "more film", "more films")} loaded.`,
  toFooter: "Skip past the list",

  searchHint: "Type a title in the field above. Results appear as you type.",
  searching: "Searching…",
  found: (/** @type {number} */ count, /** @type {string} */ query) =>
    `${plural(count, "film", "films")} for “${query}”`,
  foundNothing: (/** @type {string} */ query) => `No film found for “${query}”`,
  foundNothingHint: "Check the spelling, or try fewer words or the original title.",
  browse: "Browse popular films",
  tooLong: "That is too long to search for. Use at most 200 characters.",

  noSuchFilm: "There is no such film",
  noSuchFilmHint: "The address may be mistyped, or the film was removed.",
  toHome: "Go to the home page",
  originalTitle: (/** @type {string} */ title) => `Original title: ${title}`,
  noOverview: "There is no description of this film.",
  cast: "Cast",
  crew: "Crew",
  similar: "Similar films",
  recommended: "If you like this film",
  facts: "Facts",
  details: {
    released: "Released",
    runtime: "Length",
    status: "Status",
    countries: "Countries",
    languages: "Languages",
    budget: "Budget",
    revenue: "Box office",
    series: "Series",
    reviews: "Reviews at TMDB",
  },
  noDate: "Date unknown",
  votes: (/** @type {string} */ mean, /** @type {number} */ count) =>
    `${mean} of 10 from ${plural(count, "vote", "votes")}`,
  castUnknown: "Who plays in it could not be found out.",
  castEmpty: "No cast is listed.",
  listUnknown: "These films could not be found out.",

  yourLists: "Your lists",
  favorite: "Favourite",
  watchlist: "Watchlist",
  addFavorite: (/** @type {string} */ title) => `Favourite: ${title}`,
  addWatchlist: (/** @type {string} */ title) => `Watchlist: ${title}`,
  unknownMark: "not known at the moment",
  rating: "Your rating",
  stars: (/** @type {number} */ count) => plural(count, "star", "stars"),
  ratingHint: "A rating makes the film a favourite.",
  progress: "Progress",
  percent: (/** @type {number} */ share) => `${Math.round(share * 100)} % watched`,
  notBegun: "Not begun",
  markWatched: "Mark as watched",
  forget: "Remove from history",
  watchedOn: (/** @type {string} */ day) => `Watched on ${day}`,
  likedOn: (/** @type {string} */ day) => `Favourite since ${day}`,
  plannedOn: (/** @type {string} */ day) => `On your watchlist since ${day}`,

  history: "History",
  libraryEmpty: {
    favorites: "No favourites yet. The heart on a film adds it.",
    watchlist: "Your watchlist is empty. The bookmark on a film adds it.",
    history: "Nothing watched yet. Set your progress on a film’s page.",
  },

  stale: (/** @type {string} */ since) => `As of ${since}`,
  staleBecause: (/** @type {string} */ why) => `${why}, so this is what we had.`,
  unavailable: (/** @type {string} */ what) => `${what}: not available at the moment`,
  why: (/** @type {"films" | "lists"} */ who, /** @type {string | null} */ reason) =>
    `${service[who]} ${reasons[reason ?? ""] ?? "does not answer"}`,
  whySelf: "The dashboard’s own server cannot be reached",
  whyLimited: "You asked for more pages than allowed in a minute",
  whyOther: (/** @type {number} */ status) => `The server answered with an error (${status})`,
  retryIn: (/** @type {number} */ seconds) => `Trying again in ${seconds} s.`,
  retrying: "Trying again…",
  retryNow: "Try now",
  listsUnknown: "Your lists cannot be seen at the moment",
  listsUnknownHint: "Hearts and bookmarks stay greyed until they can.",
  notRefreshed: "This page could not be renewed",

  saved: {
    favoriteOn: (/** @type {string} */ title) => `${title} is now a favourite.`,
    favoriteOff: (/** @type {string} */ title) => `${title} is no longer a favourite.`,
    rated: (/** @type {string} */ title, /** @type {number} */ stars) =>
      `${title}: ${plural(stars, "star", "stars")}.`,
    watchlistOn: (/** @type {string} */ title) => `${title} is on your watchlist.`,
    watchlistOff: (/** @type {string} */ title) => `${title} is off your watchlist.`,
    progress: (/** @type {string} */ title) => `Progress of ${title} saved.`,
    forgotten: (/** @type {string} */ title) => `${title} is out of your history.`,
  },
  notSaved: (/** @type {string} */ title, /** @type {string} */ why) =>
    `Not saved, so ${title} is as it was. ${why}.`,
  cannotMark: "Your lists cannot be changed until the list service answers again.",
  notYet: "Your lists are still loading.",
  again: "Try again",
  close: "Close",

  signIn: "Sign in",
  signOut: "Sign out",
  signedIn: (/** @type {string} */ user) => `Signed in as ${user}`,
  signInIntro: "Paste a token of your account. It stays in this tab until you close it.",
  signInAgain: "Your session has ended. Paste a new token to go on; nothing you typed is lost.",
  signInWrong: "This token is not accepted. Check it and try again.",
  signInNeeded: "Sign in to see this page",
  token: "Token",
  tokenEmpty: "Paste a token first.",
  cancel: "Cancel",
  goOnWithout: "Go on without signing in",

  faults: "Faults",
  faultsIntro:
    "Break an upstream and watch the page. Films that the BFF still holds are not asked for again.",
  faultsOf: { tmdb: "Film service (TMDB)", users: "List service" },
  profiles: /** @type {Record<string, string>} */ ({
    "": "None",
    slow: "Slow",
    flaky: "Flaky",
    rate_limited: "Rate limited",
    down: "Down",
    garbage: "Garbage",
  }),
  faultSet: (/** @type {string} */ who, /** @type {string} */ what) => `${who}: ${what}`,
  faultFailed: (/** @type {string} */ who) => `${who} cannot be reached from this browser.`,

  credit:
    "This product uses the TMDB API but is not endorsed or certified by TMDB. Watch providers: data by JustWatch.",
  broken: "Something in this page broke. Reloading may help.",
};
