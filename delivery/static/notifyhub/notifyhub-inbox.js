/* notifyhub: notifyhub-inbox.js. Its source and licence: the npm package notifyhub. */

