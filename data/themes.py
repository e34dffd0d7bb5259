"""The keywords of the shipped quotations, each with the words by which a quotation states it.

A word also finds the longer words that it begins (`rejoic`: rejoice, rejoiceth); a `$` says that it must stand alone
and a `_` is a space.
Words of the first list name the theme itself and count twice; those of the second hint at it.
"""

import re

# Keyword: the words that name it, the words that hint at it.
_WORDS = {
    "love": (
        "love$ loves loved loveth lovest lover",
        "charity$ beloved embrace affection heart$ kiss",
    ),
    "hope": (
        "hope$ hopes hoped hopeth hoping",
        "wait$ waiteth expectation despair trusted promise deliver$ morning patiently",
    ),
    "inspiration": (
        "inspir genius imagination$ imagin'd muse$",
        "spirit$ breath dream vision light$ lamp candle shine create creator poet quicken prophe kindle new_song "
        "arise awake stars$",
    ),
    "life": (
        "life$ live$ lives liveth living lived",
        "days$ breath birth born years quicken everlasting mortal",
    ),
    "wisdom": (
        "wisdom wise$ wisely wiser",
        "prudent understanding fool fools folly discretion sage philosoph",
    ),
    "faith": (
        "faith$ faithful faithfully believ",
        "trust$ trusteth rock$ refuge doubt confidence",
    ),
    "truth": (
        "truth true$",
        "lie$ lies lying liar false falsehood deceit deceive hypocri",
    ),
    "peace": (
        "peace$ peaceable peaceably",
        "quiet rest$ still$ calm gentle safety",
    ),
    "joy": (
        "joy$ joyful rejoic",
        "gladness glad$ laugh singing mirth delight merry cheer",
    ),
    "courage": (
        "courage brave bold$ boldly boldness valiant valor fear_not not_afraid not_fear not_be_afraid not_I_fear",
        "dare$ danger strong$ coward afraid",
    ),
    "patience": (
        "patience patient$ patiently longsuffering wait$ waited waiteth",
        "endure endureth wait$ slow$ tribulation suffer$",
    ),
    "mercy": (
        "mercy mercies merciful loving-kindness",
        "compassion pity$ pitieth pardon spare gracious",
    ),
    "justice": (
        "justice just$ judgment",
        "judge$ judges judgeth law$ laws equity righteous balance scale upright",
    ),
    "friendship": (
        "friend$ friends friendship",
        "neighbour neighbor brother$ brethren companion company enemy enemies",
    ),
    "anger": (
        "anger angry wrath",
        "fury strife hatred hate$ hateth quarrel contention rage$",
    ),
    "death": (
        "death die$ dies died dieth dead$ dying",
        "grave$ dust perish tomb buried bury",
    ),
    "time": (
        "time$ times$ season",
        "morrow yesterday hour$ old$ ancient ages generation past$ future years day$",
    ),
    "wealth": (
        "wealth wealthy rich$ riches richer money",
        "gold silver poor poverty treasure gain$ fortune borrow lend price prosper purse debt",
    ),
    "knowledge": (
        "knowledge know$ knoweth known learn learning learned",
        "instruct teach taught school ignoran book$ books education reproof advice counsel",
    ),
    "strength": (
        "strength strengthen strong$ stronger",
        "power$ powerful might$ mighty weak weary uphold",
    ),
    "work": (
        "work$ works worketh labour labor labourer",
        "hands$ toil slothful sluggard idle idleness diligent bread business servant sow$ soweth reap harvest",
    ),
    "humility": (
        "humble humility meek lowly lowliness",
        "pride proud haughty vanity boast boasteth contrite exalt conceit",
    ),
    "forgiveness": (
        "forgive forgiven forgiveness forgiving repent repentance",
        "sin$ sins transgression iniquity pardon trespass remission confess guilty conscience",
    ),
    "freedom": (
        "free$ freedom liberty",
        "bondage captive slave prison tyran government bonds loosed deliver",
    ),
    "family": (
        "father$ fathers mother son$ sons children child",
        "daughter wife$ husband house$ marriage marry married parents brother inheritance",
    ),
    "kindness": (
        "kindness kindly charity generous bountiful$ be_kind is_kind",
        "give$ giveth giver merciful gift gifts alms help$ helped helper needy stranger cheerful good$",
    ),
    "fear": (
        "fear$ feareth fears fearful afraid",
        "terror tremble trembling dread terrible",
    ),
    "gratitude": (
        "thank thanks thankful thanksgiving gratitude grateful",
        "praise praises bless$ benefits sing$ bounty remember",
    ),
    "beauty": (
        "beauty beautiful fair$ fairest",
        "comely flower flowers rose$ lily lilies adorn ornament music garden",
    ),
    "prayer": (
        "pray$ prayer prayers supplication",
        "cry$ cried crieth ask$ seek$ hear$ call$",
    ),
    "sorrow": (
        "sorrow sorrows sorrowful grief grieve griefs weep weeping",
        "tears$ mourn mourning affliction afflicted misery trouble$ troubles misfortune",
    ),
    "speech": (
        "speech speak speaketh tongue words$ word$",
        "lips mouth silence talk talkers utter whisperer answer slander",
    ),
    "nature": (
        "nature earth$ sea$ mountains rain heavens",
        "wind$ winds trees tree$ river rivers waters birds fowls sun$ moon stars snow field fields grass beasts "
        "cattle hills",
    ),
    "virtue": (
        "virtue goodness righteous righteousness",
        "good$ evil wicked wickedness honest integrity upright pure$ clean$ perfect",
    ),
    "heart": (
        "heart$ hearts",
        "soul$ bones mind$ countenance desire",
    ),
    "happiness": (
        "happy happiness contentment content$ blessed",
        "pleasure pleasures enjoy satisfied merry comfort",
    ),
    "mind": (
        "mind$ minds thought$ thoughts thinking",
        "opinion opinions idea$ ideas intellect reflection wit$ wits genius understanding",
    ),
    "reason": (
        "reason$ reasons reasonable reasoning argument arguments",
        "logic sense$ prejudice proof evidence judgment persuade persuasion dispute",
    ),
    "honor": (
        "honor honors honorable honour fame$ reputation",
        "renown disgrace shame praise$ glory name$ merit dignity",
    ),
    "power": (
        "power$ powers powerful authority",
        "rule$ rulers command obedience obey dominion force$ tyran throne crown$",
    ),
    "government": (
        "government govern governs governed nation nations commonwealth",
        "people$ state$ states laws law$ public country liberty constitution citizens parties party politic",
    ),
    "religion": (
        "religion religious devotion providence worship",
        "God$ heaven divine holy prayer superstition creed piety gospel",
    ),
    "passion": (
        "passion passions desire$ desires appetite appetites",
        "rage jealous envy violent inflame temper affections zeal",
    ),
    "pleasure": (
        "pleasure pleasures delight$ delights delightful",
        "sweet$ taste$ enjoy amuse luxury sport$ feast ease$",
    ),
    "duty": (
        "duty duties obligation obligations",
        "ought owe$ service obey bound$ conscience office",
    ),
    "conscience": (
        "conscience guilt$ guilty remorse",
        "sin$ sins crime crimes fault$ faults innocen repent",
    ),
    "custom": (
        "custom$ customs habit$ habits fashion fashions",
        "manners use$ education practice imitate imitation example opinion",
    ),
    "youth": (
        "youth young$ youthful",
        "age$ boy boys childhood infancy years spring$ early",
    ),
    "night": (
        "night$ nights night's darkness sleep$",
        "dark$ moon stars shade shades dream dreams silent evening rest$",
    ),
    "light": (
        "light$ lights sun$ sun's morn$ morning dawn",
        "shine shines bright beam beams star stars day$ lamp fire$",
    ),
    "danger": (
        "danger dangers dangerous peril",
        "storm storms war$ wars enemy safety ruin risk fear$ battle",
    ),
    "folly": (
        "folly follies fool$ fools foolish",
        "vain vanity absurd ridiculous fancy trifles weak$",
    ),
    "poetry": (
        "poet$ poets poetry verse$ verses music",
        "song$ songs art$ arts muse$ harmony painter style$ write writers author authors",
    ),
    "fortune": (
        "fortune fortunes fortune's fate$ chance$ success",
        "luck misfortune adversity prosperity wheel blind$ gain$ lose loss",
    ),
    "vice": (
        "vice$ vices wickedness corruption",
        "evil$ evils wicked corrupt hypocrisy lie$ lies deceit drunk",
    ),
    "society": (
        "society mankind company",
        "men$ conversation manners neighbor$ neighbors neighbour",
    ),
    "world": (
        "world$ world's worlds mankind universe",
        "earth$ human$ humanity nations countries seas",
    ),
    "change": (
        "change changes changed changing altered alteration novelty",
        "new$ old$ ancient vary varies variety turn$ turns",
    ),
    "action": (
        "action$ actions deed$ deeds act$ acts",
        "enterprise design$ designs example$ examples resolution",
    ),
}


def _pattern(words: str) -> re.Pattern[str]:
    stems = []
    for word in words.split():
        stem = re.escape(word.rstrip("$").replace("_", " "))
        stems.append(stem + r"\b" if word.endswith("$") else stem)
    return re.compile(r"\b(?:" + "|".join(stems) + ")", re.IGNORECASE)


THEMES = {keyword: (_pattern(naming), _pattern(hinting)) for keyword, (naming, hinting) in _WORDS.items()}


def theme_scores(quote: str) -> dict[str, float]:
    """How clearly `quote` states each keyword: two for a word that names it, one for one that hints at it.

    A quotation must name a theme, or hint at it twice, to count at all; long ones are scored down a little.
    """
    scores = {}
    for keyword, (naming, hinting) in THEMES.items():
        score = 2 * len(naming.findall(quote)) + len(hinting.findall(quote))
        if score >= 2:
            scores[keyword] = score - len(quote) / 1000
    return scores
