' NotifyHubTask.brs: a Task node that asks the hub's inbox as often as the hub says, and hands each entry over once.
' Fields of its component: hub (https://push.example.com/api/v1/), token, entry (assocarray, alwaysNotify), receipt (assocarray).
sub init()
    m.top.functionName = "serve"
end sub

sub serve()
    m.store = CreateObject("roRegistrySection", "notifyhub")
    m.port = CreateObject("roMessagePort")
    m.top.observeField("receipt", m.port)
    m.etag = ""
    while true
        pause = ask()
        ' Until it is time to ask again: receipts of the scene, as {kind: "opened", ids: [entry.id]}.
        timer = CreateObject("roTimespan")
        while timer.TotalMilliseconds() < pause
            said = wait(pause - timer.TotalMilliseconds() + 1, m.port)
            if type(said) = "roSGNodeEvent" then send("POST", "receipts", { "receipts": [said.GetData()] })
        end while
    end while
end sub

' Ask once; return after how many milliseconds to ask again.
function ask() as integer
    path = "inbox?limit=100"
    if m.store.Exists("cursor") then path = path + "&after=" + m.store.Read("cursor")
    answer = send("GET", path, invalid)
    ' No answer, or a refusal: a random moment of the next two minutes, so that not every stick comes at once.
    if answer = invalid then return 1000 * Rnd(120)
    headers = answer.GetResponseHeaders()
    pause = 60000
    if headers["Poll-After-Ms"] <> invalid then pause = headers["Poll-After-Ms"].ToInt()
    status = answer.GetResponseCode()
    if status = 503 and headers["Retry-After"] <> invalid then return 1000 * (headers["Retry-After"].ToInt() + Rnd(30))
    if status <> 200 and status <> 304 then return 1000 * (60 + Rnd(60))
    if status = 304 then return pause
    if headers["ETag"] <> invalid then m.etag = headers["ETag"]
    found = ParseJson(answer.GetString())
    if found = invalid then return pause
    seen = m.store.Read("seen")
    ids = []
    for each entry in found["entries"]
        if Instr(1, seen, entry["id"]) = 0
            m.top.entry = entry
            seen = Right(seen + entry["id"] + " ", 37 * 100)
        end if
        ids.Push(entry["id"])
    end for
    m.store.Write("seen", seen)
    m.store.Write("cursor", found["cursor"])
    m.store.Flush()
    if ids.Count() > 0
        said = { "receipts": [{ "kind": "acknowledged", "ids": ids }], "cursor": found["cursor"] }
        send("POST", "receipts", said)
    end if
    return found["poll_after_ms"]
end function

' Return the answer (an roUrlEvent), or invalid when none came within half a minute.
function send(method as string, path as string, body as dynamic) as dynamic
    request = CreateObject("roUrlTransfer")
    port = CreateObject("roMessagePort")
    request.SetMessagePort(port)
    request.SetCertificatesFile("common:/certs/ca-bundle.crt")
    request.SetUrl(m.top.hub + path)
    request.SetRequest(method)
    request.AddHeader("Authorization", "Bearer " + m.top.token)
    if body = invalid
        if m.etag <> "" then request.AddHeader("If-None-Match", m.etag)
        started = request.AsyncGetToString()
    else
        request.AddHeader("Content-Type", "application/json")
        started = request.AsyncPostFromString(FormatJson(body))
    end if
    if not started then return invalid
    answer = wait(30000, port)
    if type(answer) <> "roUrlEvent" then request.AsyncCancel()
    if type(answer) <> "roUrlEvent" then return invalid
    return answer
end function
