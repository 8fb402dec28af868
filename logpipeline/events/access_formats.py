"""Access formats: those of the lines of text that report an HTTP request."""

from logpipeline.events.parts import (
    HMS,
    MONTH,
    QUOTED,
    REQUEST,
    STATUS,
    WORDS,
    Format,
)
from logpipeline.events.times import ISO

# Tried before all others.
FIRST = (
    Format(
        "Envoy and Istio access", "[",
        r"(?=\[[\dTZ:.+-]{19,40}\] )"
        rf"\[{ISO}\] {REQUEST} (?P<status>\d{{1,3}}) \S+(?: \S+ (?:- )?(?:\"[^\"]*\"|-))??"
        r" \d+ (?P<bytes>\d{1,15}+) (?P<ms>\d{1,15}+|-) "
        r"(?:\S+ \"(?!-)(?P<client>[^\",\s]{1,45}+))?",
        "",
        '[2024-05-01T10:00:00.500Z] "GET /x HTTP/1.1" 503 UF 0 91 12 - "10.0.0.1" "curl" "-" "a"',
        r"\[[\dTZ:.+-]{19,40}\] \"",
        needs='] "',
    ),
    Format(
        "Gin access", "[",
        r"\[GIN\] (?P<at>\d{4}/\d\d/\d\d) - (?P<clock>\d\d:\d\d):(?P<s>[0-6]\d) \|\s*"
        r"(?P<status>\d{3}) \|\s*(?P<took>[\d.]{1,20}[nµmu]?s)[^|]*\|\s*(?P<client>\S+) \|"
        r"\s*(?P<method>[A-Z]++)\s+\"?(?P<path>[^\"\s]++)", "",
        '[GIN] 2024/03/23 - 22:56:07 | 502 |     1.27ms |       127.0.0.1 | GET      "/pay"',
        r"\[GIN",
    ),
    Format(
        "Django's access", "[",
        rf"\[(?P<at>\d\d/{MONTH}/\d{{4}} {HMS}\] {REQUEST} {STATUS}", "%d/%b/%Y %H:%M",
        '[23/Mar/2024 22:56:07] "GET /pay HTTP/1.1" 500 12',
        r"\[\d\d/",
    ),
    Format(
        "Tornado and Jupyter", "[",
        r"\[(?P<l>[DIWEC]) (?:(?P<at>\d{6} \d\d:\d\d):(?P<s>[0-6]\d)|(?=\d{4}-)|"
        r"[\d:.]{8,16}(?= [\w-]))(?:[^\]]*\](?: (?P<status>\d{3}) (?P<method>[A-Z]++) "
        r"(?P<path>\S++) \((?P<client>[^)]++)\) (?P<ms>[\d.]++)ms)?)?", "%y%m%d %H:%M",
        "[E 240323 22:56:07 web:2271] 500 GET /pay (127.0.0.1) 12.52ms",
        r"\[[DIWEC] ",
    ),
    Format(
        "uvicorn access", "I",
        rf"(?P<l>INFO): +(?P<client>\S+):\d+ - {REQUEST} (?P<code>\d{{3}})\b", "",
        'INFO:     127.0.0.1:1234 - "GET /pay HTTP/1.1" 500 Internal Server Error',
    ),
    Format(
        "Werkzeug, by Python's logging", "DIWEC",
        rf"(?P<l>{WORDS}):(?P<logger>[\w.]{{1,80}}+):(?P<client>\S+) \S+ \S+ "
        rf"\[(?P<at>\d\d/{MONTH}/\d{{4}} {HMS}\] {REQUEST} {STATUS}", "%d/%b/%Y %H:%M",
        'INFO:werkzeug:127.0.0.1 - - [01/May/2024 10:00:00] "GET /pay HTTP/1.1" 500 -',
        needs='] "',
    ),
    Format(
        "Tornado, by Python's logging", "DIWEC",
        rf"(?P<l>{WORDS}):(?P<logger>tornado\.access):(?P<status>\d{{3}}) (?P<method>[A-Z]++) "
        r"(?P<path>\S++) \((?P<client>[^)]++)\) (?P<ms>[\d.]++)ms", "",
        "WARNING:tornado.access:404 GET /pay (127.0.0.1) 0.52ms",
        needs=":tornado.access:",
    ),
    Format(
        "uWSGI", "[",
        r"\[pid: \d+\|app: \S+\|req: \S+\] (?P<client>\S+) \([^)]*\) \{[^}]*\} "
        rf"\[(?P<at>[A-Z][a-z]{{2}} {MONTH} +\d{{1,2}} {HMS} (?P<more>\d{{4}})\] "
        r"(?P<method>[A-Z]{2,20}+) (?P<path>\S+) => generated (?P<bytes>\d{1,15}+) bytes in "
        r"(?P<ms>\d{1,15}+) msecs \(HTTP/\S+ (?P<status>\d{3})\)", "%a %b %d %H:%M %Y",
        "[pid: 7|app: 0|req: 1/1] 127.0.0.1 () {28 vars in 300 bytes} [Wed May  1 10:00:00 2024] "
        "GET /pay => generated 12 bytes in 3 msecs (HTTP/1.1 500) 2 headers in 79 bytes",
        r"\[pid: ",
    ),
    Format(
        "morgan", "GPHDO",
        r"(?P<method>GET|POST|PUT|PATCH|HEAD|DELETE|OPTIONS) (?P<path>\S++) (?P<status>\d{3}) "
        r"(?P<ms>\d{1,9}\.\d{1,6}) ms - ", "",
        "GET /pay 500 3.052 ms - 12",
        r"(?:GET|P[OUA]|HEAD|DEL|OPT)[A-Z]* \S+ \d\d\d [\d.]+ ms",
    ),
    Format(
        "morgan, tiny", "GPHDO",
        r"(?P<method>GET|POST|PUT|PATCH|HEAD|DELETE|OPTIONS) (?P<path>\S++) (?P<status>\d{3}) "
        r"(?:(?P<bytes>\d{1,15}+)|-) - (?P<ms>\d{1,9}\.\d{1,6}) ms", "",
        "GET /pay 500 12 - 3.052 ms",
        r"(?:GET|P[OUA]|HEAD|DEL|OPT)[A-Z]* \S+ \d\d\d [\d-]+ - ",
    ),
    Format(
        "Rails", "S",
        rf'Started (?P<method>[A-Z]++) "(?P<path>{QUOTED})" for (?P<client>\S+) at {ISO}', "",
        'Started GET "/pay" for 127.0.0.1 at 2024-03-23 22:56:07 +0000',
    ),
    Format(
        "Rails, completed", "C",
        r"Completed (?P<status>\d{3}) [\w ]{1,40}? in (?P<ms>[\d.]++)ms", "",
        "Completed 500 Internal Server Error in 12ms (ActiveRecord: 1.2ms)",
    ),
)  # fmt: skip
ACCESS = (
    Format(
        "Apache and nginx access", "0a:",
        rf"(?!{MONTH} )(?:[\w.-]++:\d++ (?![-\[]))?"
        r"(?P<client>[\d.]++(?=:\d)|[^\s,]++)(?::\d{1,5})?"
        r"(?:, [^\s,]++){0,9} (?:\S+ ){0,2}[^\[\"]*+"
        rf"\[(?P<at>\d\d/{MONTH}/\d{{4}}:{HMS}(?: (?P<z>[+-]\d{{4}}))?\] {REQUEST} {STATUS}",
        "%d/%b/%Y:%H:%M",
        '127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /a.gif HTTP/1.0" 200 2326',
        needs='] "',
    ),
    Format(
        "access without a client's address", "-",
        rf"- \S+ \S+ \[(?P<at>\d\d/{MONTH}/\d{{4}}:{HMS} (?P<z>[+-]\d{{4}})\] {REQUEST} {STATUS}",
        "%d/%b/%Y:%H:%M",
        '- - - [10/Oct/2000:13:55:36 -0700] "GET /a.gif HTTP/1.0" 200 2326',
        r"- \S+ \S+ \[\d\d/",
    ),
    Format(
        "HAProxy", "0a:",
        rf"(?P<client>\S+):\d+ \[(?P<at>\d\d/{MONTH}/\d{{4}}:{HMS}\.(?P<f>\d{{3}})\] \S+ \S+ "
        r"(?:-?\d+/){4}\+?(?P<ms>-?\d{1,15}+) (?:-1|(?P<status>\d{3})) \+?(?P<bytes>\d{1,15}+) "
        r"(?:[^\"]*+\"(?:(?P<method>[A-Z]{2,20}+) (?P<path>[^\s\"]++))?)?",
        "%d/%b/%Y:%H:%M",
        "10.0.1.2:33317 [01/May/2024:10:00:00.123] http-in static/srv1 10/0/30/69/109 200 2750 - - "
        '---- 1/1/1/1/0 0/0 {1wt.eu} {} "GET /index.html HTTP/1.1"',
        needs="] ",
    ),
    Format(
        "HAProxy, TCP", "0a:",
        rf"(?P<client>\S+):\d+ \[(?P<at>\d\d/{MONTH}/\d{{4}}:{HMS}\.(?P<f>\d{{3}})\] \S+ \S+ "
        r"-?\d+/-?\d+/\+?(?P<ms>-?\d{1,15}+) \+?(?P<bytes>\d{1,15}+) [A-Za-z-]{2} ",
        "%d/%b/%Y:%H:%M",
        "10.0.1.2:33313 [01/May/2024:10:00:00.123] fnt bck/srv1 0/0/5007 212 -- 0/0/0/0/3 0/0",
        needs="] ",
    ),
    Format(
        "Python http.server and Werkzeug access", "0a:",
        rf"(?P<client>\S+) \S+ \S+ \[(?P<at>\d\d/{MONTH}/\d{{4}} {HMS}\] {REQUEST} {STATUS}",
        "%d/%b/%Y %H:%M",
        '127.0.0.1 - - [10/Oct/2000 13:55:36] "GET /a.gif HTTP/1.0" 200 -',
        needs='] "',
    ),
    Format(
        "S3 access", "0a",
        rf"[0-9a-f]{{16,80}} \S+ \[(?P<at>\d\d/{MONTH}/\d{{4}}:{HMS} (?P<z>[+-]\d{{4}})\] "
        rf"(?P<client>\S+) \S+ \S+ \S+ \S+ (?:{REQUEST}|-) (?P<status>\d{{3}}) \S+ "
        r"(?P<bytes>\d{1,15}+|-) \S+ (?P<ms>\d{1,15}+|-) ",
        "%d/%b/%Y:%H:%M",
        "79a59df900b949e55d96a1e698fbacedfd6e09d98eacf8f8d5218e7cd47ef2be bucket "
        "[06/Feb/2019:00:00:38 +0000] 192.0.2.3 79a59df9 3E57427F3 REST.GET.OBJECT a.gif "
        '"GET /bucket/a.gif HTTP/1.1" 404 - 113 113 7 - "-" "S3Console/0.4" -',
        needs="] ",
    ),
    Format(
        "AWS load balancer", "0hgw",
        rf"(?:(?:https?|h2|grpcs|wss?) )?{ISO} \S+ (?P<client>\S+):\d+ \S+ \S+ "
        rf"(?P<seconds>\S+) \S+ (?P<status>\d{{3}}|-) \S+ \d+ (?P<bytes>\d{{1,15}}+) {REQUEST}", "",
        "https 2018-07-02T22:23:00.186641Z app/my-lb/50dc6c495c0c9188 192.168.131.39:2817 "
        "10.0.0.1:80 0.086 0.048 0.037 502 200 0 57 "
        '"GET https://www.example.com:443/ HTTP/1.1" "curl/7.46.0"',
        needs=' "',
    ),
    Format(
        "Unix seconds: squid", "0",
        r"(?P<epoch>\d{10})\.(?P<f>\d{1,9})\s+(?P<ms>\d{1,15}+) (?P<client>\S+) "
        r"\w++/(?P<status>\d{3}) (?P<bytes>\d{1,15}+) (?P<method>[A-Z_]++) (?P<path>\S++)", "",
        "1711234567.890    123 10.0.0.1 TCP_MISS/200 4412 GET http://example.org/ - - text/html",
    ),
)  # fmt: skip
# What may follow an ISO time.
TAILS = (
    Format(
        "load balancer of AWS, classic", "",
        r" \S+ (?P<client>\S+):\d+ \S+ \S+ (?P<seconds>[\d.]++) \S+ (?P<status>\d{3}) \S+ \d+ "
        rf"(?P<bytes>\d{{1,15}}+) {REQUEST}", "",
        "2015-05-13T23:39:43.945958Z my-lb 192.168.131.39:2817 10.0.0.1:80 0.00007 "
        '0.001 0.00005 502 200 0 29 "GET http://www.example.com:80/ HTTP/1.1" "curl/7.38.0" - -',
    ),
    Format(
        "IIS", "",
        r" \S+ (?P<method>[A-Z]{2,20}+) (?P<path>/\S*+) \S+ \d+ \S+ (?P<client>\S+) "
        r"\S+ (?:\S+ )?(?P<status>\d{3}) \d+ \d+(?: \d+ \d+)? (?P<ms>\d{1,15}+)\s*$", "",
        "2024-03-23 22:56:07 10.0.0.1 POST /pay - 443 - 192.0.2.9 curl/8.5 - 502 0 0 12",
    ),
)  # fmt: skip
