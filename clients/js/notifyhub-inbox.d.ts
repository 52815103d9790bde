/** notifyhub-inbox.js: the inbox widget. */

import { Hub } from "notifyhub";

export as namespace NotifyHubInbox;

export interface Texts {
  heading: string;
  unread: string;
  noneUnread: string;
  isUnread: string;
  close: string;
  readAll: string;
  allRead: string;
  read: string;
  archive: string;
  archived: string;
  undo: string;
  older: string;
  empty: string;
  loading: string;
  arrived: string;
  preferences: string;
  back: string;
  everything: string;
  categories: string;
  saved: string;
  push: string;
  failed: string;
  untitled: string;
}

export interface InboxOptions {
  theme?: "light" | "dark";
  /** The level of the panel's heading, 2 by default. */
  heading?: number | string;
  /** Offer Web Push among the preferences. */
  push?: boolean | string;
  texts?: Partial<Texts>;
}

export interface Inbox {
  open(): void;
  close(): void;
  refresh(): void;
  destroy(): void;
}

/** `<notifyhub-inbox>`: give it a hub. */
export interface InboxElement extends HTMLElement {
  hub: Hub | null;
  open(): void;
  close(): void;
  refresh(): void;
}

export const TEXTS: Texts;
/** Make any element the inbox of a hub, with or without custom elements. */
export function attach(host: Element, hub: Hub, options?: InboxOptions): Inbox;

declare global {
  interface HTMLElementTagNameMap {
    "notifyhub-inbox": InboxElement;
  }
}
