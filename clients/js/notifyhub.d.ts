/** notifyhub.js: receives a device's notifications, whatever the network lets through. */

export as namespace NotifyHub;

/** A notification, once per `id`. */
export interface Entry {
  id: string;
  /** An opaque place in the log. */
  position: string;
  kind: string;
  /** What a recall names. */
  run: string;
  title: string;
  body: string;
  subtitle: string;
  image: string;
  link: string;
  category: string;
  data: { [name: string]: string };
  /** RFC 3339, in UTC. */
  sent_at: string;
}

/** An entry as the inbox lists it. */
export interface InboxEntry extends Entry {
  state: Mark;
}

/** Answer of `GET inbox/latest`. */
export interface Latest {
  entries: InboxEntry[];
  /** Where older ones begin; null: there are none. */
  before: string | null;
  /** 0 to 99 on the first page, else null. */
  unread: number | null;
  more_unread: boolean | null;
}

export type Mark = "unread" | "read" | "archived";
export type ReceiptKind = "displayed" | "opened" | "dismissed" | "read";
export type Transport = "websocket" | "stream" | "poll";
export type State = "connecting" | "connected" | "reconnecting" | "offline" | "closed" | "replaced" | "refused";

export interface StateDetail {
  device?: string;
  node?: string;
  transport?: Transport;
  /** False: the log no longer reaches back to where this device stood; older entries may be missing. */
  recovered?: boolean;
  /** The code that the last connection ended with. */
  code?: number;
}

/** Problem details (RFC 9457). */
export interface Problem {
  title: string;
  detail?: string;
  type?: string;
  status?: number;
}

export interface Events {
  entry: (entry: Entry) => void;
  recall: (run: string) => void;
  marked: (ids: string[], state: Mark) => void;
  /** Recalls and marks may have passed by: read the inbox again where it is shown. */
  missed: () => void;
  /** What another device of the same person says (`POST /api/v1/device-messages`); `sender` is its id. */
  message: (data: unknown, sender: string) => void;
  state: (state: State, detail: StateDetail) => void;
  error: (problem: Problem) => void;
  /** After a random part of `landing` ms. */
  land: (entry: Entry) => void;
}

export interface Storage {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

/** Milliseconds. */
export interface Times {
  base?: number;
  cap?: number;
  hello?: number;
  steady?: number;
  pause?: number;
  ping?: number;
  answer?: number;
  probe?: number;
  ack?: number;
  poll?: number;
  upgrade?: number;
  upgradeCap?: number;
}

interface CommonOptions {
  /** "/ws/v1/", or wss://hub.example/ws/v1/. */
  url: string;
  /** The address of /api/v1/, where it is not beside `url`. */
  api?: string;
  onEntry?: Events["entry"];
  onRecall?: Events["recall"];
  onMarked?: Events["marked"];
  onMissed?: Events["missed"];
  onMessage?: Events["message"];
  onState?: Events["state"];
  onError?: Events["error"];
  onLand?: Events["land"];
  /** The longest wait in ms before `onLand`. */
  landing?: number;
  transports?: Transport[];
  /** The device's id, where several share one browser. */
  device?: string;
  storage?: Storage;
  /** The token goes in the first frame, for engines without subprotocols. */
  authFrame?: boolean;
  /** The path of notifyhub-sw.js on the page's own origin, for Web Push. */
  worker?: string;
  times?: Times;
  WebSocket?: unknown;
  XMLHttpRequest?: unknown;
}

/** A fixed `token`, or `getToken`, which is asked first and whenever a token was refused; `done(null)`: failed. */
export type Options = CommonOptions &
  ({ token: string; getToken?: undefined } | { token?: string; getToken: (done: (token: string | null) => void) => void });

export interface Hub {
  readonly state: State;
  /** The id of this device, once connected. */
  readonly device: string;
  /** Listen to an event; returns what ends it. */
  on<Name extends keyof Events>(name: Name, callback: Events[Name]): () => void;
  /** Say what happened to entries; kept while unconnected. */
  receipt(ids: string | string[], kind: ReceiptKind): void;
  /** A request to the hub's REST API with the device's token; `path` as "inbox/latest?limit=20". */
  ask<Answer = unknown>(
    method: string,
    path: string,
    body: unknown,
    done?: (problem: Problem | null, answer?: Answer) => void
  ): void;
  /** Ask for permission and have this browser pushed to while no page is open. Call it in answer to a click. */
  enablePush(done: (problem: Problem | null) => void): void;
  close(): void;
}

/** Connect a device; it returns by itself after every cut. */
export function connect(options: Options): Hub;
