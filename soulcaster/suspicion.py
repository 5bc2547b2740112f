"""Which texts wait for a person before anything reads them: suspected prompt injections and spam, with the fragment.

Conservative on purpose: a bug report may talk about instructions, prompts and ignored rules. One *strong* pattern, or two
different *weak* ones, hold a text back; everything else passes. Pure functions over one text; the caller pre-filters.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import unquote

import polars as pl

_FRAGMENT_CHARS = 200
_ENCODED_CHARS = 4_000

# fmt: off  one word a line would be a page
HINTS = (
    "ignor",
    "disregard",
    "forget ",
    "override",
    "bypass",
    "system prompt",
    "instruction",
    "directive",
    "exfiltrat",
    "printenv",
    "anything now",
    "an ai",
    " ai agent",
    " ai assistant",
    " ai model",
    " ai bot",
    "language model",
    " llm",
    "coding agent",
    "coding assistant",
    "from now on",
    "you are now",
    "you are no longer",
    "pretend to be",
    "act as ",
    "oublie",
    "vergiss",
    "vergesst",
    "missachte",
    "игнорир",
    "забудь",
    "忽略",
    "无视",
    "無視",
    "忘れ",
    "忘记",
    "忘記",
    "不要理会",
    "무시",
    "이전",
    "olvid",
    "desconsider",
    "esqueça",
    "esquece",
    "dimentica",
    "desatiende",
    "omite",
    "base64",
    ".env",
    "id_rsa",
    "secrets",
    "environment variables",
    "credentials",
    "api key",
    "api_key",
    "this issue",
    "this ticket",
    "this report",
    "this feedback",
    "this bug",
    "viagra",
    "cialis",
    "levitra",
    "kamagra",
    "tramadol",
    "casino",
    "online betting",
    "online gambling",
    "slot gacor",
    "online slots",
    "judi online",
    "loan",
    "escort",
    "call girls",
    "hot singles",
    "hot girls",
    "backlinks",
    "seo ",
    "followers",
    "youtube subscribers",
    "youtube views",
    "guaranteed",
    "double your",
    "binary options",
    "forex",
    "spell",
    "giveaway",
    "lost bitcoin",
    "stolen bitcoin",
    "lost crypto",
    "lost funds",
    "stolen funds",
    "hire a",
    "essay writing",
    "professional hacker",
    "replica ",
    "fake passport",
    "fake doc",
    "fake id",
    "fake diploma",
    "weight loss",
    "gummies",
    "male enhancement",
    "gift card",
    "claim your",
    "earn $",
    "earn up to",
    "make $",
    "make up to",
    "from home",
    "toll free",
    "toll-free",
    "helpline",
    "hotline",
    "support number",
    "care number",
    "service number",
    "help number",
    "phone number",
    "contact number",
    "lost btc",
    "scammed",
)
# fmt: on
"""Any of these words (ASCII case ignored) makes a text worth a closer look; a text without passes at once."""

ENCODED_HINT = (
    r"[A-Za-z0-9+/]{48}|(?:[0-9a-fA-F]{2}[ :]){20}|(?:%[0-9a-fA-F]{2}){5}|(?:&#x?[0-9a-fA-F]+;){4}"
    r"|(?:\\u00[0-9a-fA-F]{2}){4}|[A-Za-z][ ._*-][A-Za-z][ ._*-][A-Za-z][ ._*-][A-Za-z][ ._*-][A-Za-z][ ._*-]"
    r"|[\x{FF21}-\x{FF5A}\x{1D400}-\x{1D7FF}]{3}|[A-Za-z][\x{0370}-\x{052F}]|[\x{0370}-\x{052F}][A-Za-z]|(?i)[1!|]gn[o0]r[e3]|ign0r[e3]|ignor3|vtaber|cerivbhf|erongi|suoiverp|base64"
)
"""Rust regex for texts that may hide words in another spelling: base64, hex, escapes, spaced or look-alike letters."""

_VERB = r"(?:ignore|disregard|forget|override|bypass|discard|neglect|do\s+not\s+(?:follow|obey)|don'?t\s+(?:follow|obey)|stop\s+(?:following|obeying))"  # noqa: E501  one regex
_ORDER = r"(?:instructions?|prompts?|directives?|directions|guidelines|guardrails|system\s+(?:message|prompt)s?|programming|training)"  # noqa: E501  one regex
_BEFORE = r"(?:previous(?:ly\s+given)?|prior|above|preceding|earlier|foregoing|former)"
_FIRST = r"(?:original|initial|existing|past|current)\s+(?:instructions?|directives?|programming|training)"
_REPORTED = re.compile(
    r"(?:\b(?:seems?|appears?|starts?|tends?|continues?|going|used|likely|happens|causes?\s+(?:it|them)|model|bot|agent)\s+to"
    r"|\b(?:will|would|may|might|can|could|does|did|do|doesn't|didn't|don't|not|it|they|makes\s+it|to\s+just|that|which"
    r"|always|sometimes|often|why|how\s+to))\s+$"
)
"""A sentence that *reports* ignoring ("it seems to ignore ...") is no order."""

_Words = tuple[str, ...]
_Rule = tuple[tuple[_Words, ...], re.Pattern[str]]
"""Groups of words of which one each must be there, and the regex that is only then worth its time."""

_VERBS = ("ignore", "disregard", "forget", "override", "bypass", "discard", "neglect", "follow", "obey")
_OBJECTS = ("instruction", "prompt", "directi", "guideline", "guardrail", "system message", "programming", "training")
_RULES = (
    "rules",
    "commands",
    "context",
    "messages",
    "text",
    "constraints",
    "restrictions",
    "safety",
    "polic",
    "filters",
)
_ALL = ("ignore all", "disregard all", "forget all", "everything", "anything")
_MACHINES = (
    *(" ai ", " ai,", " ai:", " ai-", " ais ", "ai agent", "ai assistant", "ai model", "ai bot", "ai coding", "llm"),
    *("language model", "coding agent", "coding assistant", "coding model", "autonomous", "automated"),
)
_SECRETS = (
    *(
        ".env",
        "environment var",
        "env var",
        "env file",
        "environment file",
        "secret",
        "credential",
        "api key",
        "api_key",
    ),
    *("api-key", "apikey", "token", "ssh key", "private key", "id_rsa", "~/."),
)
_CARRIERS = ("send", "post", "upload", "transmit", "forward", "mail", "leak", "paste", "append", "commit", "publish")
_CARRIERS_WIDE = (*_CARRIERS, "include", "write", "print", "output", "echo", "dump", "reveal")

_STRONG: tuple[_Rule, ...] = tuple(
    (needles, re.compile(pattern))
    for needles, pattern in (
        # orders to drop what came before
        ((_VERBS, _OBJECTS), rf"\b{_VERB}\s+(?:\w+\s+){{0,4}}?(?:{_BEFORE}\s+(?:\w+\s+){{0,3}}?{_ORDER}|{_FIRST})\b"),  # noqa: E501  one regex
        (
            (_VERBS, _OBJECTS),
            rf"\b{_VERB}\s+(?:\w+\s+){{0,3}}?{_ORDER}\s+(?:\w+\s+){{0,3}}?(?:above|before\s+this|so\s+far|you\s+(?:were|have\s+been|received|got))\b",
        ),  # noqa: E501  one regex
        (
            (_VERBS, _OBJECTS),
            rf"\b(?:ignore|disregard|forget|override)\s+(?:all\s+(?:of\s+)?|any\s+of\s+)?your\s+(?:\w+\s+){{0,3}}?{_ORDER}\b",
        ),  # noqa: E501  one regex
        (
            (_VERBS, _RULES, ("ignore all", "disregard all", "forget all")),
            rf"\b(?:ignore|disregard|forget)\s+all\s+(?:of\s+)?(?:the\s+|your\s+)?{_BEFORE}\s+(?:rules|commands|context|messages|text|constraints)\b",
        ),  # noqa: E501  one regex
        (
            (_VERBS, _ALL),
            r"\b(?:ignore|disregard|forget)\s+(?:everything|anything|all)\s+(?:that\s+)?(?:you\s+(?:were|have\s+been|'ve\s+been|know|learned)|i\s+(?:said|told\s+you)|was\s+said|(?:written|stated|said)\s+(?:above|before))",
        ),  # noqa: E501  one regex
        (
            (("forget",),),
            r"\bforget\s+(?:all|everything|anything)\s+(?:above|before\s+(?:this|now))\b[^.?!]{0,40}?\b(?:you|now|instead|and)\b",
        ),  # noqa: E501  one regex
        (
            (("instruction", "prompt", "directive"),),
            rf"\b(?:new|updated|real|actual|revised)\s+(?:system\s+)?(?:instructions?|prompt|directives?)\s*(?:for\s+(?:you|the\s+(?:ai|assistant|agent|model)))?\s*[:>]\s*(?:\w+\W+){{0,6}}?(?:you\s+(?:must|are|will|should)|{_VERB}|reveal|output|print|send|execute)",
        ),  # noqa: E501  one regex
        # a new role
        (
            (("you are",),),
            r"\byou\s+are\s+(?:now\s+|no\s+longer\s+)(?:\w+\s+){0,2}?(?:dan\b|jailbroken|unrestricted|unfiltered|uncensored|bound\s+by|restricted\s+by|evilgpt|an?\s+(?:evil|amoral)\s)",
        ),  # noqa: E501  one regex
        (
            (("from now",),),
            r"\bfrom\s+now\s+on,?\s+(?:you|the\s+(?:ai|assistant|model))\s+(?:are|will|must|shall|should)\s+(?:\w+\s+){0,3}?(?:obey|ignore|disregard|act\s+as|pretend|respond\s+only|answer\s+only|comply|unrestricted)",
        ),  # noqa: E501  one regex
        (
            (
                ("act ", "behave ", "respond ", "pretend "),
                ("dan", "unrestricted", "unfiltered", "uncensored", "jailbroken", "evil"),
            ),
            r"\b(?:act|behave|respond|pretend)\s+(?:as|like|to\s+be|you\s+are)\s+(?:if\s+you\s+(?:were|are)\s+)?(?:dan\b|an?\s+(?:unrestricted|unfiltered|uncensored|jailbroken|evil)\s+(?:ai|llm|model|assistant|chatbot|bot))",
        ),  # noqa: E501  one regex
        (
            (("anything now",),),
            r"\bdo\s+anything\s+now\b[^.]{0,80}\b(?:dan|rules|restrictions|limits|ai)\b|\bdan\b[^.]{0,40}\bdo\s+anything\s+now\b",
        ),  # noqa: E501  one regex
        # the hidden text asked for
        (
            (("prompt", "instructions", "system message"),),
            r"\b(?:reveal|print|output|repeat|recite|disclose|leak|dump|expose|tell\s+me|show\s+me|give\s+me)\s+(?:(?:back|verbatim|me|us|all|of|out|word\s+for\s+word)\s+)*your\s+(?:\w+\s+){0,3}?(?:system\s+(?:prompt|message|instructions?)|(?:initial|hidden|secret|original|internal)\s+(?:prompt|instructions?))",
        ),  # noqa: E501  one regex
        (
            ((" above",), ("words", "text", "everything")),
            r"\b(?:repeat|print|output)\s+(?:the\s+)?(?:words|text|everything)\s+above\b[^.?!]{0,60}\b(?:you\s+are|verbatim|system|prompt|code\s+block)",
        ),  # noqa: E501  one regex
        # orders addressed to a machine reader
        (
            (("if you", "if this is"),),
            r"\bif\s+(?:you\s+are|you're|you\s+is|this\s+is\s+(?:being\s+)?(?:read|processed)\s+by)\s+(?:an?\s+|the\s+)?(?:\w+\s+){0,2}?(?:ai|llm|language\s+model|(?:coding|ai|autonomous|automated)\s+(?:agent|assistant|model|bot))\b[^?]{0,200}\b(?:must|please|run|execute|add|delete|send|post|open|include|ignore|fetch|curl|print|download|commit|upload|approve|merge|reply|respond|reveal|insert|install|set)\b",
        ),  # noqa: E501  one regex
        (
            (_MACHINES,),
            r"\b(?:attention|note|message|notice|instructions?|orders?|task|dear|hey|hello)\s*(?:to|for|,|:)?\s*(?:all\s+|any\s+|the\s+)?(?:ai|llm|autonomous|automated|coding)(?:\s+(?:coding|language))?(?:\s+(?:agents?|assistants?|models?|bots?|systems?|reviewers?|readers?)|s)?\s*(?:[:,!-]|reading\s+this|processing\s+this)[^?]{0,160}\b(?:must|please|run|execute|add|delete|send|post|include|ignore|fetch|curl|print|download|commit|upload|approve|merge|reveal|insert|install|you\s+(?:should|will|are))\b",
        ),  # noqa: E501  one regex
        (
            (_MACHINES,),
            r"\b(?:as|while|when)\s+(?:an?\s+|the\s+)?(?:ai|llm|coding|language)\s+(?:coding\s+)?(?:agent|assistant|model)[^.?]{0,60}\byou\s+(?:must|should|shall|will|are\s+(?:required|instructed|allowed))\b",
        ),  # noqa: E501  one regex
        (
            (_MACHINES,),
            r"\b(?:ai|llm|coding)\s+(?:agents?|assistants?|models?|bots?)\s+(?:that\s+(?:read|process|fix)\w*|reading|processing|fixing|working\s+on|summari[sz]ing|triaging|handling)\s+this\b[^?]{0,160}\b(?:must|should|please|need\s+to|run|execute|send|add|ignore)\b",
        ),  # noqa: E501  one regex
        (
            (tuple(f"this {noun}" for noun in ("issue", "ticket", "report", "feedback", "bug", "text", "message")),),
            r"\b(?:when|while|before|after)\s+(?:fixing|processing|reading|summari[sz]ing|triaging|handling|resolving)\s+this\s+(?:issue|ticket|report|feedback|bug|text|message)\b[^?]{0,160}\b(?:also\s+|first\s+|you\s+must\s+|please\s+)(?:run|execute|curl|wget|send|post|upload|print|include|append|disable|delete|remove|push|commit|add)\b",
        ),  # noqa: E501  one regex
        # secrets carried out
        ((("exfiltrate",),), r"\bexfiltrate\b[^.\n]{0,80}\b(?:env|secrets?|tokens?|keys?|credentials?|data|source)\b"),  # noqa: E501  one regex
        (
            (_SECRETS, _CARRIERS_WIDE),
            r"\b(?:send|post|upload|transmit|forward|e-?mail|leak|paste|append|commit|publish|include|write|print|output|echo|dump|reveal)\s+(?:me\s+|us\s+)?(?:all\s+(?:of\s+)?)?(?:the\s+)?(?:your\s+|contents?\s+of\s+(?:the\s+|your\s+)?|values?\s+of\s+(?:the\s+|your\s+|all\s+)?)(?:\w+\s+){0,3}?(?:\.env\b|env(?:ironment)?\s+(?:variables|vars|file)|secrets?\b|credentials\b|api[ _-]?keys?\b|(?:access|github|auth)[ _-]?tokens?\b|ssh\s+keys?|private\s+keys?|id_rsa|~/\.(?:ssh|aws)|\$?[a-z_]*(?:token|secret|api_key)\b)[^.\n]{0,80}?\b(?:to|at|into|via|in|as)\s+(?:(?:the|this|a|an|your)\s+)?(?:https?://|\S+@|pull\s+request|pr\b|comment|issue|description|commit|reply|response|answer|webhook|following\s+(?:url|address|server))",
        ),  # noqa: E501  one regex
        (
            (_SECRETS, _CARRIERS),
            r"\b(?:send|post|upload|transmit|forward|leak)\s+(?:all\s+|the\s+|any\s+|every\s+){1,2}(?:\w+\s+)?(?:env(?:ironment)?\s+(?:variables|vars)|secrets|credentials|api\s+keys|tokens)\s+(?:\w+\s+){0,4}?to\s+(?:https?://|the\s+following\s+(?:url|address|server))",
        ),  # noqa: E501  one regex
        (
            (("curl", "wget", "| nc", "|nc", "ncat"),),
            r"\b(?:printenv|env|cat\s+\S*(?:\.env|id_rsa|credentials)\S*)\s*\|\s*(?:base64[^|\n]{0,20}\|\s*)?(?:curl|wget|nc|ncat)\b",
        ),  # noqa: E501  one regex
        (
            (("curl", "wget"),),
            r"\b(?:curl|wget)\b[^\n]{0,200}?(?:\$\(\s*(?:env\b|printenv|cat\s+\S*(?:\.env|id_rsa|credentials))|`\s*(?:env\b|printenv)|(?:-d|--data\S*|-F|-T|-f|-t)\s*['\"]?(?:\w+=)?@\S*(?:\.env|id_rsa|credentials))",
        ),  # noqa: E501  one regex
        # the same order in other tongues
        (
            (("ignorier", "vergiss", "vergesst", "missachte"),),
            r"\b(?:ignorier\w*|vergiss|vergesst|missachte)\s+(?:\w+\s+){0,4}?(?:vorherig\w*|bisherig\w*|obig\w*|vorangegangen\w*|früher\w*)\s+(?:\w+\s+){0,2}?(?:anweisung\w*|instruktion\w*|befehl\w*|vorgaben|eingaben|prompts?)",
        ),  # noqa: E501  one regex
        (
            (("ignor", "olvid", "omite", "desconsider", "esque", "dimentica", "desatiende"),),
            r"\b(?:ignora|ignore|ignoren|olvida|olvide|omite|desconsidere|esqueça|esquece|dimentica|desatiende)\s+(?:\w+\s+){0,4}?(?:instruccion\w*|instruç\w*|istruzion\w*|indicacion\w*|órdenes|ordens|comandos)\s+(?:\w+\s+){0,2}?(?:anterior\w*|previ\w*|precedent\w*|acima)",
        ),  # noqa: E501  one regex
        (
            (("ignora", "dimentica"),),
            r"\b(?:ignora|dimentica)\s+(?:\w+\s+){0,3}?(?:precedent\w*|anterior\w*)\s+(?:istruzion\w*|instruccion\w*)",
        ),  # noqa: E501  one regex
        (
            (("ignore", "oublie"),),
            r"\b(?:ignorez|ignore|oubliez|oublie)\s+(?:\w+\s+){0,4}?(?:instructions?|consignes?|directives?)\s+(?:\w+\s+){0,2}?(?:précédent\w*|antérieur\w*|ci-dessus)",
        ),  # noqa: E501  one regex
        (
            (("гнорир", "абудь", "words above", "text above", "everything above"),),
            r"(?:игнорируй\w*|забудь\w*)\s+(?:\w+\s+){0,3}?(?:предыдущ\w*|прошл\w*|прежн\w*)\s+(?:\w+\s+)?(?:инструкц\w*|указани\w*|команд\w*)",
        ),  # noqa: E501  one regex
        (
            (("忽略", "无视", "無視", "忘", "不要理会"),),
            r"(?:忽略|无视|無視|忘记|忘記|不要理会)[^。,，\n]{0,10}(?:之前|以上|先前|前面|上述|所有)[^。,，\n]{0,10}(?:指令|指示|提示|命令|说明)",
        ),  # noqa: E501  one regex
        (
            (("無視", "忘れ"),),
            r"(?:以前|これまで|上記|前)の(?:すべての|全ての)?(?:指示|命令|プロンプト)[^。\n]{0,6}(?:無視|忘れ)",
        ),  # noqa: E501  one regex
        ((("이전",),), r"이전[^.\n]{0,8}(?:지시|명령|프롬프트)[^.\n]{0,8}(?:무시|잊)"),  # noqa: E501  one regex
    )
)

_WEAK: tuple[_Rule, ...] = tuple(
    (needles, re.compile(pattern))
    for needles, pattern in (
        (
            (("<|", "inst]", "<<", "system>"),),
            r"<\|(?:im_start|system|user|assistant|endoftext|im_end)\|>|\[/?inst\]|<</?sys>>|</?system>",
        ),  # noqa: E501  one regex
        (
            (("system", "developer", "admin"), ("system:", "r:", "n:", "]:", "e:", "t:")),
            r"(?:^|\n)\s*(?:###?\s*|\[+)?(?:system|developer|admin)(?:\s+(?:message|prompt|override|instruction))?\]*\s*:\s*(?:you\b|ignore|new\b|override|disregard|from\s+now)",
        ),  # noqa: E501  one regex
        ((("override",),), r"\b(?:system|admin|developer|security|root)\s+(?:prompt\s+)?override\b"),  # noqa: E501  one regex
        ((("begin",),), r"\bbegin\s+(?:new\s+)?(?:system\s+prompt|admin\s+instructions?|hidden\s+instructions?)\b"),  # noqa: E501  one regex
        (
            (_VERBS, _RULES),
            rf"\b{_VERB}\s+(?:all\s+|any\s+|the\s+|these\s+|safety\s+|security\s+|your\s+)+(?:\w+\s+)?(?:rules|restrictions|safety|polic\w+|filters|constraints)\b",
        ),  # noqa: E501  one regex
        (
            ((" mode",), ("you are now",)),
            r"\byou\s+are\s+now\s+(?:in\s+)?(?:an?\s+)?(?:\w+\s+){0,2}?(?:developer|debug|admin|god|maintenance|root)\s+mode\b",
        ),  # noqa: E501  one regex
        (
            (("not ", "n't ", "dont ", "never "), ("tell ", "inform ", "mention ", "alert ", "notify ")),
            r"\b(?:do\s+not|don'?t|never)\s+(?:tell|inform|mention\s+(?:this|it)|alert|notify)\s*(?:to\s+)?(?:the\s+)?(?:users?|humans?|reviewers?|maintainers?|developers?|anyone)\b",
        ),  # noqa: E501  one regex
        (
            (("prompt", "instructions"),),
            r"\b(?:reveal|print|output|repeat|disclose|leak)\s+(?:\w+\s+){0,2}?(?:the|your)\s+(?:\w+\s+)?(?:system\s+prompt|hidden\s+prompt|instructions)\b",
        ),  # noqa: E501  one regex
        (
            (("decode", "decrypt", "deobfuscate"),),
            r"\b(?:decode|decrypt|deobfuscate)\b[^.\n]{0,60}\b(?:and|then)\s+(?:follow|execute|obey|run|comply|do\s+what)",
        ),  # noqa: E501  one regex
        (
            (("as an ai", "you are a"),),
            r"\bas\s+an\s+ai(?:\s+language)?\s+(?:model|assistant|agent)\b|\byou\s+are\s+an?\s+(?:helpful\s+)?(?:ai|language\s+model|assistant)\b",
        ),  # noqa: E501  one regex
        (
            (("restrictions", "ethical", "content polic", "safety"),),
            r"\b(?:without|no)\s+(?:any\s+)?(?:restrictions|ethical\s+guidelines|content\s+polic\w+|safety\s+(?:filters?|guidelines))\b",
        ),  # noqa: E501  one regex
        (
            (("your new", "your only", "your real", "your true"),),
            r"\b(?:your\s+(?:new|only|real|true)\s+(?:task|goal|objective|job|purpose|instructions?)\s+(?:is|are)\b)",
        ),  # noqa: E501  one regex
        (
            (("immediately", "without"),),
            r"\b(?:execute|run|follow)\s+(?:the\s+)?(?:following|these|this)\s+(?:commands?|instructions?)\s+(?:immediately|without\s+(?:asking|question|confirmation))",
        ),  # noqa: E501  one regex
        (
            ((".env", "environment", "github_token", "aws_secret", "id_rsa"),),
            r"\b(?:print|cat|read|output|show|dump)\s+(?:\w+\s+){0,4}?(?:\.env\b|environment\s+variables|github_token|aws_secret_access_key|id_rsa)",
        ),  # noqa: E501  one regex
    )
)

_SPAM_OFFERS: tuple[_Rule, ...] = tuple(
    (needles, re.compile(pattern))
    for needles, pattern in (
        ((("viagra", "cialis", "levitra", "kamagra", "tramadol"),), r"\b(?:viagra|cialis|levitra|kamagra|tramadol)\b"),  # noqa: E501  one regex
        (
            (("casino", "online", "slot gacor"),),
            r"\bonline\s+(?:casino|betting|gambling|slots)\b|\bcasino\s+bonus\b|\bslot\s+gacor\b|\bjudi\s+online\b",
        ),  # noqa: E501  one regex
        ((("loan",),), r"\bpayday\s+loans?\b|\b(?:instant|urgent|personal)\s+loans?\s+(?:offer|available|approval)\b"),  # noqa: E501  one regex
        (
            (("escort", "call girl", "hot "),),
            r"\bescorts?\s+(?:services?|girls?|in\s+\w+)\b|\bcall\s+girls\b|\bhot\s+(?:singles|girls)\b",
        ),  # noqa: E501  one regex
        (
            (("followers", "likes", "views", "subscribers"),),
            r"\bbuy\s+(?:cheap\s+|real\s+|instant\s+)*(?:instagram|tiktok|twitter|facebook|youtube)\s+(?:followers|likes|views|subscribers)\b",
        ),  # noqa: E501  one regex
        (
            (("seo ", "backlinks"),),
            r"\b(?:seo\s+(?:services?|backlinks|packages?)|(?:high[- ]quality|cheap|buy)\s+backlinks)\b",
        ),  # noqa: E501  one regex
        (
            (("guaranteed", "double your"),),
            r"\bguaranteed\s+(?:profits?|returns?|income|winnings?|approval)\b|\bdouble\s+your\s+(?:bitcoin|money|btc|crypto)\b",
        ),  # noqa: E501  one regex
        (
            (("binary options", "forex", "giveaway"),),
            r"\b(?:binary\s+options|forex)\s+(?:signals?|trading|robot|account\s+manager)\b|\b(?:crypto|bitcoin|eth)\s+giveaway\b",
        ),  # noqa: E501  one regex
        (
            (("recover",),),
            r"\brecover(?:ed)?\s+(?:my\s+|your\s+)?(?:lost|stolen|scammed)\s+(?:bitcoin|btc|crypto\w*|funds|money)\b",
        ),  # noqa: E501  one regex
        ((("hacker",),), r"\bhire\s+an?\s+(?:\w+\s+){0,2}hacker\b|\bprofessional\s+hacker\b"),  # noqa: E501  one regex
        (
            (("$",),),
            r"\b(?:earn|make)\s+(?:up\s+to\s+)?\$\s?\d[\d,.]*\s*(?:k\s+)?(?:per|a|every|each|/)\s*(?:day|week|hour|month)\b",
        ),  # noqa: E501  one regex
        (
            (("replica", "fake "),),
            r"\b(?:replica|fake)\s+(?:watch(?:es)?|rolex|handbags?|passports?|documents?|id\s+cards?|diplomas?)\b",
        ),  # noqa: E501  one regex
        (
            (("weight loss", "gummies", "enhancement"),),
            r"\bweight\s+loss\s+(?:pills?|gummies|supplements?)\b|\bketo\s+gummies\b|\bmale\s+enhancement\b",
        ),  # noqa: E501  one regex
        (
            (("gift card", "claim your"),),
            r"\bfree\s+(?:\$?\d+\s+)?(?:\w+\s+)?gift\s+cards?\b|\bclaim\s+your\s+(?:free\s+)?(?:prize|reward|bonus|airdrop)\b",
        ),  # noqa: E501  one regex
        (
            (("spell", "essay", "from home"),),
            r"\b(?:love\s+)?spell\s+caster\b|\bessay\s+writing\s+service\b|\bwork\s+from\s+home\b[^.\n]{0,40}\$\s?\d",
        ),  # noqa: E501  one regex
    )
)
_SPAM_CONTACT = re.compile(
    r"https?://|www\.|\bt\.me/|\b(?:whats\s?app|telegram|signal|kik|wechat)\b[^\n]{0,20}(?:[@+]|\d{6})|\+?\d[\d ().-]{8,}\d"
    r"|\[email\]|\b(?:contact|call|text|visit|click|order|dm)\s+(?:us|me|now|here|today)\b"
)
_SPAM_HOTLINE = re.compile(
    r"\b(?:customer|technical|tech|phone)\s+(?:care|service|support|help)\s+(?:phone\s+|toll[- ]free\s+|contact\s+)?(?:number|helpline|hotline)\b"
    r"[^\n]{0,60}?\+?1?[-. (]*8(?:00|33|44|55|66|77|88)[-. )]*\d{3}[-. ]*\d{4}"
)

_LOOKALIKES = str.maketrans("аеорсухіјѕԁһԛԝνοα", "aeopcyxijsdhqwvoa")
_MIXED_WORD = re.compile(r"[a-z]+[\u0370-\u052f][a-z\u0370-\u052f]*|[\u0370-\u052f]+[a-z][a-z\u0370-\u052f]*")
_LEET = str.maketrans("013457@$!|", "oieastasii")
_LEET_WORDS = re.compile(
    r"(?!ignore)[i1!|]gn[o0]r[e3]|(?!prompt)pr[o0]mp[t7]|(?!instruct)[i1!|]n[s5$][t7]ruc[t7]|pr[e3]v[i1!|][0o]us"
)
_BASE64 = re.compile(r"[A-Za-z0-9+/]{40,}={0,2}")
_HEX = re.compile(r"\b(?:[0-9a-fA-F]{2}[ :]?){20,}")
_ESCAPES = re.compile(r"\\u00([0-9a-fA-F]{2})")
_SPACED = re.compile(r"\b(?:[A-Za-z][ ._*-]){5,}[A-Za-z]\b")


def find_suspicions(texts: pl.Series, is_encoded: pl.Series) -> dict[int, tuple[str, str]]:
    """(reason, quoted fragment) by position, for texts that must wait for a person: 'suspected-injection' or 'spam'.

    Args:
        texts: the texts that have one of `HINTS`, or are encoded.
        is_encoded: `ENCODED_HINT` matched, so what the text hides in another spelling is searched, too.

    Source of the idea of encoded variants: OWASP's list of prompt injection forms (encodings, spacing, look-alikes).
    """
    plains = pl.Series([f" {_plain(text)} " for text in texts], dtype=pl.String)
    rules = (*_STRONG, *_WEAK, *_SPAM_OFFERS)
    has_words = {words: plains.str.contains_any(list(words)).to_list() for groups, _ in rules for words in groups}
    found = {}
    for index, (text, plain, encoded) in enumerate(zip(texts, plains, is_encoded, strict=True)):
        known = {words: flags[index] for words, flags in has_words.items()}
        if suspicion := _find_suspicion(text, plain, known, is_encoded=encoded):
            found[index] = suspicion
    return found


def _find_suspicion(text: str, plain: str, known: dict[_Words, bool], *, is_encoded: bool) -> tuple[str, str] | None:
    fragment = _find_injection(plain, known, weak_limit=2)
    if fragment is not None:
        return "suspected-injection", fragment
    for decoded in _decodings(text, plain) if is_encoded else ():
        # Nobody hides an order by chance, so a single weak pattern is enough here.
        fragment = _find_injection(f" {_plain(decoded)} ", {}, weak_limit=1)
        if fragment is not None:
            return "suspected-injection", f"(encoded) {fragment}"
    hotline = _SPAM_HOTLINE.search(plain) if "number" in plain or "line" in plain else None
    if hotline:
        return "spam", _quote(plain, hotline)
    offers = list(_matches(_SPAM_OFFERS, plain, known))
    if len(offers) > 1 or (offers and _SPAM_CONTACT.search(plain)):
        return "spam", _quote(plain, offers[0])
    return None


def _plain(text: str) -> str:
    """Lower case, entities and compatibility letters resolved, Cyrillic and Greek look-alikes inside Latin words folded."""
    plain = html.unescape(text) if "&" in text else text
    if plain.isascii():
        return plain.lower()
    plain = unicodedata.normalize("NFKC", plain).lower().replace("’", "'")
    return _MIXED_WORD.sub(lambda word: word[0].translate(_LOOKALIKES), plain)


def _find_injection(plain: str, known: dict[_Words, bool], *, weak_limit: int) -> str | None:
    for found in _matches(_STRONG, plain, known):
        if not _REPORTED.search(plain[max(0, found.start() - 40) : found.start()]):
            return _quote(plain, found)
    weak = list(_matches(_WEAK, plain, known))
    return _quote(plain, weak[0]) if len(weak) >= weak_limit else None


def _matches(rules: tuple[_Rule, ...], plain: str, known: dict[_Words, bool]) -> Iterator[re.Match[str]]:
    """First match of each rule whose words are there; `known` remembers over rules which words are."""
    for groups, pattern in rules:
        for words in groups:
            if words not in known:
                known[words] = any(word in plain for word in words)
            if not known[words]:
                break
        else:
            if found := pattern.search(plain):
                yield found


def _quote(plain: str, found: re.Match[str]) -> str:
    start = max(0, found.start() - 20)
    fragment = " ".join(plain[start : max(found.end(), start + 60)].split())
    return fragment if len(fragment) <= _FRAGMENT_CHARS else fragment[:_FRAGMENT_CHARS] + "…"


def _decodings(text: str, plain: str) -> Iterator[str]:
    """The readable texts that hide in `text` under an encoding; nothing for ordinary text."""
    for blob in _BASE64.findall(text)[:20]:
        yield from _printable(_base64_bytes(blob[:_ENCODED_CHARS]))
    for blob in _HEX.findall(text)[:20]:
        digits = re.sub(r"[ :]", "", blob)[:_ENCODED_CHARS]
        yield from _printable(bytes.fromhex(digits[: len(digits) // 2 * 2]))
    if text.count("%") > 4:  # noqa: PLR2004  fewer are ordinary per cent signs
        yield unquote(text)
    if _ESCAPES.search(text):
        yield _ESCAPES.sub(lambda found: chr(int(found[1], 16)), text)
    if "vtaber" in plain or "cerivbhf" in plain:
        yield codecs.decode(plain, "rot13")
    if "erongi" in plain or "suoiverp" in plain:
        yield plain[::-1]
    if _SPACED.search(text):
        words = re.split(r"\s{2,}|\n|(?<=[A-Za-z])[ ._*-]{2,}", text)
        yield " ".join(_SPACED.sub(lambda found: re.sub(r"[ ._*-]", "", found[0]), word) for word in words)
    if _LEET_WORDS.search(plain):
        yield plain.translate(_LEET)


def _base64_bytes(blob: str) -> bytes:
    blob = blob.rstrip("=")
    try:
        return base64.b64decode(blob[: len(blob) // 4 * 4])
    except (binascii.Error, ValueError):
        return b""


def _printable(decoded: bytes) -> Iterator[str]:
    try:
        text = decoded.decode()
    except UnicodeDecodeError:
        return
    if text and sum(char.isprintable() or char in "\n\t\r" for char in text) > 0.95 * len(text):  # noqa: PLR2004
        yield text
