/* notifyhub: notifyhub-sw.js. Its source and licence: the npm package notifyhub. */

