-- Each request submits a separate job that never starts.
local thread_number = 0
function setup(thread)
    thread:set("number", thread_number)
    thread_number = thread_number + 1
end
function init(args)
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/json"
    sent = 0
    run = args[1]
end
function request()
    sent = sent + 1
    local body = string.format('{"input":"a.mp4","output":"%s-%d-%d.mp4","not_before":"2100-01-01T00:00:00Z"}',
        run, number, sent)
    return wrk.format("POST", nil, nil, body)
end
