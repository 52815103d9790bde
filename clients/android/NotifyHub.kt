// NotifyHub.kt: register, displayed, opened and recall. Every call blocks: use Dispatchers.IO, or WorkManager to try again.
import android.app.NotificationManager
import android.content.Intent
import com.google.firebase.messaging.RemoteMessage
import org.json.JSONArray
import org.json.JSONObject
import java.net.HttpURLConnection
import java.net.URL
import java.time.Instant
import java.util.Locale
import java.util.TimeZone

/** `hub`: https://push.example.com/api/v1/; `device`: a UUID made once; `token` gives what your service mints for it. */
class NotifyHub(private val hub: String, private val device: String, private val token: () -> String) {
    /** From FirebaseMessagingService.onNewToken, and at every start of the app. */
    fun register(address: String) = send("PUT", "devices/$device", JSONObject()
        .put("platform", "android").put("provider", "fcm").put("token", address)
        .put("locale", Locale.getDefault().toLanguageTag()).put("time_zone", TimeZone.getDefault().id))

    /** From onMessageReceived: the app is in front, and shows it itself. (In the background the system shows it, unseen by the app.) */
    fun displayed(message: RemoteMessage) = receipt("displayed", message.data["nh_id"])

    /** From the activity that a tap opens: the message's data are the intent's extras. */
    fun opened(intent: Intent) = receipt("opened", intent.getStringExtra("nh_id"))

    private fun receipt(kind: String, id: String?) = id?.let { send("POST", "receipts", JSONObject()
        .put("receipts", JSONArray().put(JSONObject().put("kind", kind).put("ids", JSONArray().put(it))))) }

    /** Recall: whenever the app wakes. What the hub lists no more, or was read elsewhere, leaves the tray; its tag is the id. */
    fun clearRecalled(tray: NotificationManager) {
        val answer = send("GET", "inbox/latest?limit=50")
        val entries = answer.getJSONArray("entries").let { list -> List(list.length()) { list.getJSONObject(it) } }
        val standing = entries.filter { it.getString("state") == "unread" }.map { it.getString("id") }.toSet()
        val oldest = if (answer.isNull("before")) 0L else Instant.parse(entries.last().getString("sent_at")).toEpochMilli()
        tray.activeNotifications
            .filter { it.postTime >= oldest && Regex("[0-9a-f-]{36}").matches(it.tag ?: "") && it.tag !in standing }
            .forEach { tray.cancel(it.tag, it.id) }
    }

    private fun send(method: String, path: String, body: JSONObject? = null): JSONObject {
        val request = URL(hub + path).openConnection() as HttpURLConnection
        request.requestMethod = method
        request.setRequestProperty("Authorization", "Bearer ${token()}")
        request.setRequestProperty("Content-Type", "application/json")
        if (body != null) { request.doOutput = true; request.outputStream.use { it.write(body.toString().toByteArray()) } }
        check(request.responseCode in 200..299) { "$method $path: ${request.responseCode}" }
        return JSONObject(request.inputStream.bufferedReader().readText().ifEmpty { "{}" })
    }
}
