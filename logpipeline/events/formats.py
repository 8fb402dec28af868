"""Formats: those of the lines of text that are known, as patterns, and an example of each."""

from logpipeline.events import access_formats, parts
from logpipeline.events.parts import (
    ANY_CASE,
    HMS,
    LEVEL,
    MOMENT,
    MONTH,
    NO_ZONE,
    SYSLOG,
    TAG,
    THEN_LEVEL,
    WORDS,
    Format,
)
from logpipeline.events.times import ISO

# First characters: of BGL's alerts, and of the levels' names.
CAPITALS = "-ABCDEFGHIJKLMNOPQRSTUVWXYZ"
INITIALS = "".join(letter + letter.lower() for letter in parts.INITIALS)

FORMATS = (
    *access_formats.FIRST,
    Format(
        "ISO time: Hadoop, Zookeeper, Windows CBS, log4j, Python, nginx error, Kafka", "0[",
        rf"\[?{ISO}{NO_ZONE}{THEN_LEVEL}", "",
        "2015-10-18 18:01:47,978 INFO [main] org.apache.hadoop.mapreduce.v2.app.MRAppMaster: Up",
        r"\[?\d{4}[-/]?\d\d[-/]?\d\d[T _]",
    ),
    Format(
        "HDFS", "0", rf"(?P<at>\d{{6}} \d{{4}})(?P<s>[0-6]\d)(?= ){THEN_LEVEL}", "%y%m%d %H%M",
        "081109 203615 148 INFO dfs.DataNode$PacketResponder: PacketResponder 1 terminating",
        r"\d{6} ",
    ),
    Format(
        "Spark", "0", rf"(?P<at>(?:1[3-9]|[2-9]\d)/\d\d/\d\d {HMS}{THEN_LEVEL}", "%y/%m/%d %H:%M",
        "17/06/09 20:10:40 INFO executor.CoarseGrainedExecutorBackend: Registered signal handlers",
        r"\d\d/",
    ),
    Format(
        "Android logcat", "0",
        rf"(?P<at>\d\d-\d\d {HMS}\.(?P<f>\d{{3,9}})(?: +\d+ +\d+)? (?P<l>[VDIWEFA])"
        r"[ /](?P<logger>[^\s:(]{1,80}+)?",
        "%m-%d %H:%M",
        "03-17 16:13:38.811  1702  2395 D WindowManager: printFreezingDisplayLogs",
        r"\d\d-",
    ),
    Format(
        "HealthApp", "0",
        r"(?P<at>\d{8}-\d{1,2}:\d{1,2}):(?P<s>\d{1,2}):(?P<ms>\d{1,3})\|", "%Y%m%d-%H:%M",
        "20171223-22:15:29:606|Step_LSC|30002312|onStandStepChanged 3579",
        r"\d{8}-",
    ),
    Format(
        "HPC", "0", r"\d+ \S+ \S+ \S+ (?P<epoch>\d{9,10}) \d ", "",
        "134681 node-246 unix.hw state_change.unavailable 1077804742 1 Component State Change",
        r"\d+ \S+ \S+ \S+ \d{9}",
    ),
    Format(
        "Redis", "0",
        rf"\d+:[XCSM] (?P<at>\d\d {MONTH} \d{{4}} {HMS}\.(?P<f>\d+) (?P<l>[.*#-]) ",
        "%d %b %Y %H:%M",
        "612:M 23 Mar 2024 22:56:07.890 # WARNING overcommit_memory is set to 0!",
        r"\d+:",
    ),
    *access_formats.ACCESS,
    Format(
        "journald, short-unix", "0",
        rf"(?P<epoch>\d{{10}})\.(?P<f>\d{{6}}) (?P<host>[\w.:-]{{1,255}}+) {TAG}", "",
        "1711234567.890123 web1 sshd[12]: error: PAM: Authentication failure",
        needs=":",
    ),
    Format(
        "zap's Unix seconds", "0",
        rf"(?P<number>\d\.\d{{4,17}}e\+09|\d{{10}}(?:\.\d{{1,9}})?)\s{THEN_LEVEL}", "",
        "1.711234567890e+09\terror\tcontroller\tcannot reach the API server",
    ),
    Format(
        "Unix milliseconds to nanoseconds", "0",
        rf"(?P<number>\d{{13}}(?:\d{{3}}){{0,2}})(?=[\s,:|\[(]{{1,4}}(?:{ANY_CASE})\b){THEN_LEVEL}",
        "",
        "1711234567890 ERROR cannot reach the API server",
    ),
    Format(
        "Unix seconds", "0", r"(?P<epoch>\d{10})\.(?P<f>\d{1,9})\s", "",
        "1711234567.890 cannot reach the API server",
    ),
    Format(
        "Zabbix", "0", r"\d+:(?P<at>\d{8}:\d{4})(?P<s>[0-6]\d)\.(?P<f>\d{3})\s", "%Y%m%d:%H%M",
        "12:20240323:225607.890 cannot send the list of active checks",
    ),
    Format(
        "a time without a date: zerolog, Elixir", "0",
        r"\d{1,2}:\d\d(?::\d\d(?:[.,]\d{1,9})?)?(?:[AP]M)?[ |]+"
        rf"(?:\[\s*(?P<l1>{ANY_CASE})\s*\]|(?P<l2>{WORDS})[ |])", "",
        "10:56PM ERR cannot reach the API server error=timeout",
    ),
    Format(
        "logback and log4j without a date", "0",
        rf"(?:\d\d:\d\d:\d\d[.,]\d{{3}}|\d+) \[[^\]]*\] (?P<l>{WORDS}) ", "",
        "22:56:07.890 [main] WARN  com.example.App - pool is almost empty",
    ),
    Format(
        "Apache error", "[",
        rf"\[(?P<at>[A-Z][a-z]{{2}} {MONTH} +\d{{1,2}} {HMS}(?:\.(?P<f>\d+))? (?P<more>\d{{4}})\]"
        rf"(?: \[(?:[\w-]*:)?(?P<l>{ANY_CASE})\d?\])?", "%a %b %d %H:%M %Y",
        "[Sun Dec 04 04:47:44 2005] [error] mod_jk child workerEnv in error state 6",
    ),
    Format(
        "a time without a date: Serilog, pino", "[",
        rf"\[\d\d:\d\d:\d\d(?:[.,]\d{{1,9}})?(?:\] | )(?P<l>{WORDS})(?=[\] :])", "",
        "[22:56:07.890] ERROR (12): cannot reach the API server",
    ),
    Format(
        "syslog's time in brackets: Asterisk", "[", rf"\[{MOMENT}\]{THEN_LEVEL}", "%b %d %H:%M",
        "[Mar 23 22:56:07] ERROR[1234] chan_sip.c: registration failed",
    ),
    Format(
        "ROS", "[",
        rf"\[ {{0,2}}(?P<l>{WORDS})\] \[(?P<epoch>\d{{10}})\.(?P<f>\d{{1,9}})(?:, \d+\.\d+)?\]"
        r"(?: \[(?P<logger>[\w./]{1,80}+)\])?: ", "",
        "[ERROR] [1711234567.890123456] [talker]: cannot reach the node",
        r"\[ {0,2}[A-Z]+\] \[\d",
    ),
    Format(
        "JVM", "[",
        rf"\[ *\d+[.,]\d{{3}}s\](?:\[\d+\])*\[(?P<l>{ANY_CASE}) *\]", "",
        "[12.345s][warning][gc,alloc] allocation is slow",
        r"\[ *\d+[.,]\d{3}s",
    ),
    Format(
        "Proxifier", "[", rf"\[(?P<at>\d\d\.\d\d {HMS}\] ", "%m.%d %H:%M",
        "[10.30 16:49:06] chrome.exe - proxy.cse.cuhk.edu.hk:5070 open through proxy HTTPS",
    ),
    Format(
        "PHP", "[",
        rf"\[(?P<at>\d\d-{MONTH}-\d{{4}} {HMS}(?:\.(?P<f>\d{{1,9}}))?(?: (?P<z>[^\]]{{1,60}}))?\]"
        rf"(?: (?:PHP )?(?:(?:Parse|Recoverable fatal|Catchable fatal) )?(?P<l>{ANY_CASE})\b)?",
        "%d-%b-%Y %H:%M",
        "[23-Mar-2024 22:56:07 UTC] PHP Fatal error:  Uncaught Error in /srv/index.php:3",
    ),
    Format(
        "BGL", CAPITALS,
        r"(?:-|[A-Z]\w*) (?P<epoch>\d{9,10}) \d{4}\.\d\d\.\d\d \S* ?[\d-]{10}-\d\d\.\d\d\.\d\d\."
        rf"(?P<f>\d+) (?:\S*+ )?\S++ \S++ (?P<l>{WORDS})\b", "",
        "- 1117838570 2005.06.03 R02-M1-N0-C:J12-U11 2005-06-03-15.42.50.363779 "
        "R02-M1-N0-C:J12-U11 RAS KERNEL INFO instruction cache parity error corrected",
    ),
    Format(
        "Thunderbird", CAPITALS, r"(?:-|[A-Z]\w*) (?P<epoch>\d{9,10}) \d{4}\.\d\d\.\d\d ", "",
        "- 1131566461 2005.11.09 dn228 Nov 9 12:01:01 dn228/dn228 crond(pam_unix)[2915]: closed",
    ),
    Format(
        "syslog: Linux, OpenSSH, Mac", "JFMASOND", SYSLOG, "%b %d %H:%M",
        "Jun 14 15:16:01 combo sshd(pam_unix)[19939]: authentication failure; logname= uid=0",
    ),
    Format(
        "syslog with a priority", "<", rf"<(?P<pri>\d{{1,3}})>{SYSLOG}", "%b %d %H:%M",
        "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
    ),
    Format(
        "syslog of RFC 5424", "<",
        rf"<(?P<pri>\d{{1,3}})>(?:1 )?{ISO} (?:(?:- |(?P<host>[^\s\[:]{{1,255}}+) )"
        r"(?:(?:- |(?P<service>[\w./-]{1,64}+) )\S+ \S+ "
        r"(?:-|(?:\[(?:[^\]\\\"]|\"(?:[^\"\\]|\\.)*+\")*+\])++)"
        rf"(?: \ufeff?|$)|{TAG.replace('service', 'tag')})?)?", "",
        "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 - An event",
    ),
    Format(
        "journald, short-full", "MTWFS",
        rf"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) {ISO} (?P<host>[\w.:-]{{1,255}}+) {TAG}", "",
        "Sat 2024-03-23 22:56:07 UTC web1 sshd[12]: error: PAM: Authentication failure",
        r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) \d",
    ),
    Format(
        "dmesg, decoded", "kudmaslncf",
        r"(?:kern|user|mail|daemon|auth|authpriv|syslog|lpr|news|uucp|cron|ftp|local\d) *"
        r":(?P<l>emerg|alert|crit|err|warn|notice|info|debug) *: ", "",
        "kern  :err   : [Sat Mar 23 22:56:07 2024] EXT4-fs error (device sda1)",
        r"[a-z]+[0-7]? *:[a-z]+ *: ",
    ),
    Format(
        "auditd", "tn",
        r"(?:node=(?P<host>[\w.-]{1,255}+) )?type=\w+ "
        r"msg=audit\((?P<epoch>\d{9,10})\.(?P<f>\d{1,9}):\d+\): ", "",
        "type=SYSCALL msg=audit(1711234567.890:456): arch=c000003e syscall=59 success=no exit=-13",
        r"(?:node|type)=",
    ),
    Format(
        "svlogd and multilog", "@", r"@(?P<tai>40{6}[0-9a-f]{9})(?P<nanos>[0-9a-f]{8}) ", "",
        "@4000000065ff5fc1350d8710 cannot reach the API server",
    ),
    Format(
        "Cisco", "*%JFMASOND",
        rf"\*?(?:{MOMENT}(?: (?P<z>[A-Z]{{3,5}}))?: )?"
        r"%[A-Z][A-Z0-9_-]{0,40}?-(?P<pri>[0-7])-\w+: ",
        "%b %d %H:%M",
        "*Mar 23 22:56:07.890: %LINK-3-UPDOWN: Interface GigabitEthernet0/1, changed state to down",
    ),
    Format(
        "kernel and systemd", "<", r"<(?P<pri>\d{1,3})>", "",
        "<4>[   12.345678] usb 1-1: device descriptor read/64, error -71",
    ),
    Format(
        "OpenStack, in one file", "a", rf"\S{{1,200}}?\.log\S{{0,200}} {ISO}{THEN_LEVEL}", "",
        "nova-api.log.1.2017-05-16_13:53:08 2017-05-16 00:00:00.008 25746 INFO nova.osapi status",
        needs=".log",
    ),
    Format(
        "klog", "IWEF",
        rf"(?P<l>[IWEF])(?P<at>\d{{4}} {HMS}\.(?P<f>\d{{6}}) +\d+ (?P<logger>[^\s:]++):\d+\]",
        "%m%d %H:%M",
        "E0323 22:56:07.890123    1 server.go:10] can't reach the API server",
    ),
    Format(
        "glog", "IWEF",
        rf"(?P<l>[IWEF])(?P<at>\d{{8}} {HMS}\.(?P<f>\d{{6}}) +\d+ (?P<logger>[^\s:]++):\d+\]",
        "%Y%m%d %H:%M",
        "W20240323 22:56:07.890123   1 server.cc:10] slow",
    ),
    Format(
        "vLLM", "DIWEC",
        rf"(?P<l>{WORDS}) +(?P<at>\d\d-\d\d {HMS} \[?(?P<logger>[\w./]{{1,200}}?\.py):\d+\]",
        "%m-%d %H:%M",
        "ERROR 03-23 22:56:07 [engine.py:158] cannot load the model",
        r"[A-Z]+ +\d\d-\d",
    ),
    Format(
        "Ruby", "DIWEFA", rf"(?P<l>[DIWEFA]), \[{ISO} ?#\d+\]", "",
        "E, [2024-03-23T22:56:07.890123 #1234] ERROR -- : no such order",
    ),
    Format(
        "Android logcat, brief", "VDIWEFA",
        r"(?P<l>[VDIWEFA])/(?P<logger>[^(\s]{1,80}+)\s*\( *\d+\): ", "",
        "W/ActivityManager( 1702): Scheduling restart of crashed service",
    ),
    Format(
        "java.util.logging", "JFMASOND",
        rf"(?P<at>{MONTH} \d\d?, \d{{4}}),? (?P<clock>\d\d?:\d\d):(?P<s>[0-6]\d)"
        r"[ \u00a0\u202f](?P<more>[AP]M) (?P<logger>[\w$]{1,80}+(?:\.[\w$]{1,80}+){1,30})"
        rf"(?: [\w$<>]++)?[ \t\r]*(?:\n(?P<l>{WORDS}|CONFIG): )?", "%b %d, %Y %I:%M %p",
        "Mar 23, 2024 10:56:07 PM com.example.App main",
    ),
    Format(
        "geth and log15", INITIALS,
        rf"(?P<l>{WORDS}) {{0,2}}\[(?P<at>\d\d-\d\d\|{HMS}(?:\.(?P<f>\d{{1,9}}))?\]", "%m-%d|%H:%M",
        "EROR[03-23|22:56:07] cannot reach the API server  err=timeout",
    ),
    Format(
        "Erlang", "=", rf"=(?P<l>{WORDS}) REPORT==++ (?=\d)", "",
        "=ERROR REPORT==== 23-Mar-2024::22:56:07.890 ===",
    ),
    Format(
        "an error that nobody caught", "TEUtn/",
        r"(?:Traceback \(most recent call last\):|Exception in thread \"|Unhandled [Ee]xception"
        r"|Uncaught |thread '[^']{0,200}' (?:\(\d+\) )?panicked "
        r"|(?:node:[\w/]{1,99}|/[^\s:]{1,300}\.[cm]?[jt]s):\d{1,9}\r?\n)", "",
        'Exception in thread "main" java.lang.IllegalStateException: no such order',
        r"(?:Trace|Excep|Unhan|Uncau|threa|node:|/)",
        level="ERROR",
    ),
    Format(
        "level first: Python, Maven, uvicorn", "[" + INITIALS,
        rf"(?:{LEVEL}|\[(?P<l4>[DIWEFC])\](?= ))", "",
        "ERROR:root:can't open the database",
    ),
)  # fmt: skip
# What may follow an ISO time.
TAILS = (
    *access_formats.TAILS,
    Format(
        "Postgres csvlog", "",
        r',(?:(?:"[^"]*+"|[^,"]*+),){10}(?P<l>[A-Z]{3,9})\d?,[0-9A-Z]{5},', "",
        '2024-03-23 22:56:07.890 UTC,"app","shop",612,"192.0.2.9:54321",65ff.264,1,"SELECT",'
        '2024-03-23 22:00:00 UTC,3/7,0,ERROR,42P01,"relation does not exist"',
    ),
    Format(
        "Heroku", "", r" (?P<service>heroku|app)\[[\w.-]{1,60}+\]: ", "",
        "2024-03-23T22:56:07.890123+00:00 heroku[router]: at=error code=H12 method=GET status=503",
    ),
    Format(
        "macOS", "",
        r" 0x[0-9a-f]+ +(?P<l>Default|Info|Debug|Error|Fault) +0x[0-9a-f]+ +\d+ +\d+ +"
        r"(?P<service>[\w.-]{1,64}+): ", "",
        "2024-03-23 22:56:07.890123+0100 0x1234     Error       0x0       12     0    cloudd: no",
    ),
    Format(
        "syslog with an ISO time", "",
        rf"(?<!,\d{{6}}[+-]\d\d:\d\d) (?P<host>[\w.:-]{{1,255}}+) {TAG}", "",
        "2024-03-23T22:56:07+00:00 web1 sshd[12]: error: PAM: Authentication failure",
    ),
)  # fmt: skip
