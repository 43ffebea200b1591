"""ISO 639: one code per language, so that a language held out under one name does not return under another.

One code is of no language: ``zxx``, no linguistic content, such as babble. It can be held out like any other, but is
never counted as a language: means over languages omit it (``runs.result.of_languages``), heads do not learn from it
where there is speech to learn from (``data.splits``), and analyses that are not about it do not see it
(``evidence.bench.Bench.entries``).
"""

import re

# ISO 639-1 codes, each followed by its ISO 639-2/T code and, where they differ, 639-2/B; ISO 639-2 code table.
_TABLE = """
aa aar,ab abk,ae ave,af afr,ak aka,am amh,an arg,ar ara,as asm,av ava,ay aym,az aze,ba bak,be bel,bg bul,bi bis,bm bam,
bn ben,bo bod tib,br bre,bs bos,ca cat,ce che,ch cha,co cos,cr cre,cs ces cze,cu chu,cv chv,cy cym wel,da dan,
de deu ger,dv div,dz dzo,ee ewe,el ell gre,en eng,eo epo,es spa,et est,eu eus baq,fa fas per,ff ful,fi fin,fj fij,
fo fao,fr fra fre,fy fry,ga gle,gd gla,gl glg,gn grn,gu guj,gv glv,ha hau,he heb,hi hin,ho hmo,hr hrv,ht hat,hu hun,
hy hye arm,hz her,ia ina,id ind,ie ile,ig ibo,ii iii,ik ipk,io ido,is isl ice,it ita,iu iku,ja jpn,jv jav,ka kat geo,
kg kon,ki kik,kj kua,kk kaz,kl kal,km khm,kn kan,ko kor,kr kau,ks kas,ku kur,kv kom,kw cor,ky kir,la lat,lb ltz,lg lug,
li lim,ln lin,lo lao,lt lit,lu lub,lv lav,mg mlg,mh mah,mi mri mao,mk mkd mac,ml mal,mn mon,mr mar,ms msa may,mt mlt,
my mya bur,na nau,nb nob,nd nde,ne nep,ng ndo,nl nld dut,nn nno,no nor,nr nbl,nv nav,ny nya,oc oci,oj oji,om orm,or ori,
os oss,pa pan,pi pli,pl pol,ps pus,pt por,qu que,rm roh,rn run,ro ron rum,ru rus,rw kin,sa san,sc srd,sd snd,se sme,
sg sag,si sin,sk slk slo,sl slv,sm smo,sn sna,so som,sq sqi alb,sr srp,ss ssw,st sot,su sun,sv swe,sw swa,ta tam,te tel,
tg tgk,th tha,ti tir,tk tuk,tl tgl,tn tsn,to ton,tr tur,ts tso,tt tat,tw twi,ty tah,ug uig,uk ukr,ur urd,uz uzb,ve ven,
vi vie,vo vol,wa wln,wo wol,xh xho,yi yid,yo yor,za zha,zh zho chi,zu zul
"""
# Codes of ISO 639-3 for the variety that a 639-1 code usually means.
_VARIETIES = {"cmn": "zh", "arb": "ar", "pes": "fa", "ekk": "et", "lvs": "lv", "swh": "sw", "zsm": "ms", "npi": "ne"}

_SHORT = {long: short for short, *longs in (row.split() for row in _TABLE.split(",")) for long in longs} | _VARIETIES
_KNOWN_SHORT = set(_SHORT.values())

NO_LANGUAGE = "zxx"

_LOCALE = re.compile(r"(?P<language>[A-Za-z]{2,3})(?:[-_][A-Za-z0-9]{1,8})*")
_SPOKEN = {"zh-hk": "yue", "zh-mo": "yue"}
"""Locales named after how their speech is written: what is spoken there is Cantonese."""


def is_language(code: str) -> bool:
    """Return whether a code is of a language: all are but ``zxx``.

    >>> is_language("it"), is_language("zxx")
    (True, False)
    """
    return code != NO_LANGUAGE


def of_locale(tag: str) -> str:
    """Return the language of a locale (BCP 47), such as datasets name their parts after; ValueError if it has none.

    Several locales may be of one language: whoever reads them keeps the locale beside it, as ``zh-TW`` is no ``zh-CN``.

    >>> of_locale("sv-SE"), of_locale("rm-sursilv"), of_locale("zh-TW"), of_locale("zh-HK"), of_locale("hsb")
    ('sv', 'rm', 'zh', 'yue', 'hsb')
    """
    match = _LOCALE.fullmatch(tag)
    if match is None:
        raise ValueError(f"language {tag!r:.60}: expected an ISO 639 code such as 'en', or a locale such as 'sv-SE'")
    code = _SPOKEN.get(tag.lower().replace("_", "-"), match["language"].lower())
    check_language(code)
    return code


def check_language(code: str) -> None:
    """Raise ValueError unless a code is ISO 639-1, or has three letters if 639-1 has no code for the language.

    >>> check_language("it")
    >>> check_language("yue")
    """
    if code in _SHORT:
        raise ValueError(f"language {code!r}: use {_SHORT[code]!r}, its code in ISO 639-1")
    if code not in _KNOWN_SHORT and not re.fullmatch(r"[a-z]{3}", code):
        raise ValueError(f"language {code!r} is not an ISO 639 code such as 'en'")
