// NotifyHub.swift: register, displayed, opened and recall. Goes into the app and its notification service extension.
import Foundation
import UserNotifications

struct NotifyHub {
    let hub: URL  // https://push.example.com/api/v1/
    let device: String  // a UUID made once, and the token your service mints for it: in a keychain group that both share
    let token: String

    /// From application(_:didRegisterForRemoteNotificationsWithDeviceToken:), at every start of the app.
    func register(_ address: Data, sandbox: Bool = false) async throws {
        let hex = address.map { String(format: "%02x", $0) }.joined()
        try await send("PUT", "devices/\(device)", ["platform": "ios", "provider": "apns", "token": hex, "sandbox": sandbox,
            "locale": Locale.preferredLanguages.first ?? "en", "time_zone": TimeZone.current.identifier])
    }
    /// "displayed" from the extension's didReceive(_:withContentHandler:), "opened" from the app's userNotificationCenter(_:didReceive:).
    func receipt(_ kind: String, _ content: UNNotificationContent) async throws {
        guard let id = NotifyHub.id(of: content) else { return }
        try await send("POST", "receipts", ["receipts": [["kind": kind, "ids": [id]]]])
    }
    /// Recall: whenever the app wakes. What the hub lists no more, or was read elsewhere, leaves the notification centre.
    func clearRecalled() async throws {
        let answer = try await send("GET", "inbox/latest?limit=50")
        let entries = answer["entries"] as? [[String: Any]] ?? []
        let standing = Set(entries.filter { $0["state"] as? String == "unread" }.compactMap { $0["id"] as? String })
        let dates = ISO8601DateFormatter()
        dates.formatOptions = [.withInternetDateTime, .withFractionalSeconds]
        let oldest = (answer["before"] as? String).flatMap { _ in dates.date(from: entries.last?["sent_at"] as? String ?? "") }
        let gone = await UNUserNotificationCenter.current().deliveredNotifications().filter { shown in
            guard let id = NotifyHub.id(of: shown.request.content) else { return false }
            return shown.date >= oldest ?? .distantPast && !standing.contains(id)
        }
        UNUserNotificationCenter.current().removeDeliveredNotifications(withIdentifiers: gone.map(\.request.identifier))
    }
    static func id(of content: UNNotificationContent) -> String? { (content.userInfo["nh"] as? [String: Any])?["id"] as? String }

    @discardableResult
    func send(_ method: String, _ path: String, _ body: [String: Any]? = nil) async throws -> [String: Any] {
        var request = URLRequest(url: URL(string: path, relativeTo: hub)!)
        request.httpMethod = method
        request.httpBody = try body.map { try JSONSerialization.data(withJSONObject: $0) }
        request.allHTTPHeaderFields = ["Authorization": "Bearer \(token)", "Content-Type": "application/json"]
        let (data, answer) = try await URLSession.shared.data(for: request)
        guard let status = (answer as? HTTPURLResponse)?.statusCode, 200..<300 ~= status else { throw URLError(.badServerResponse) }
        return try JSONSerialization.jsonObject(with: data) as? [String: Any] ?? [:]
    }
}
