"""Wordings of the languages of central, eastern and south-eastern Europe, in the form of `wordings.py`.

These languages are used only in training. Unlike those of `WORDINGS`, their words do not change which English words are
reserved for the set `unseen`.
"""

from nanochat.synth.wordings import Wordings

CENTRAL = {
    "Polish": Wordings(
        ("pl_PL",),
        "i w na z do nie się że to jest o od za jak po co ale dla przez tak już czy tylko ma był być może ich jego "
        "przy są który która które też więc również jeszcze między gdzie dzień można bardzo został wśród źródło życie "
        "żółty książka wyjście łódź święto ćwierć środek następnie później łącznie ósmy późno gęś pięć miesiąc źle",
        "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia",
        ("Razem", "Suma PLN", "Do zapłaty", "Sprzedaż opodatkowana", "PTU A 23%", "Kwota netto", "Gotówka", "Reszta",
         "Karta płatnicza", "Dziękujemy za zakupy!", "Zapraszamy ponownie", "Paragon fiskalny", "Faktura VAT nr",
         "Ilość", "Cena jedn.", "Wartość", "Rabat", "Sprzedawca", "Nabywca", "Numer klienta", "Data urodzenia",
         "Miejscowość", "Województwo", "Podpis", "Szanowni Państwo,", "Z poważaniem", "Termin płatności", "Imię",
         "Nazwisko", "Adres zamieszkania", "Żurek", "Pączek", "Bułka", "Śledź w oleju", "Łosoś", "Kawa biała",
         "Chleb żytni", "Źródło", "ważne do"),
        ("„{}”", "„{}”", "«{}»", '"{}"'),
        "ąćęłńóśźż",
        (" zł", " zł", " PLN", " EUR"),
    ),
    "Czech": Wordings(
        ("cs_CZ",),
        "a v se na je že s z do o k i to by jako za ve pro po od jsou však ale tak jeho které který jsem nebo být také "
        "jen při už až není před může mezi když další více než bylo podle první těch něco příliš žádný kůň dům ještě "
        "člověk věc říct sňatek ďábel loď síť šťastný únor chlapců nádraží účet město",
        "ledna února března dubna května června července srpna září října listopadu prosince",
        ("Celkem", "Mezisoučet", "K úhradě", "Základ daně", "DPH 21%", "Včetně DPH", "Hotovost", "Vráceno",
         "Platba kartou", "Děkujeme za nákup!", "Přijďte zas", "Účtenka č.", "Faktura č.", "Množství",
         "Jednotková cena", "Sleva", "Dodavatel", "Odběratel", "Zákaznické číslo", "Datum narození", "Příjmení",
         "Jméno", "Bydliště", "Podpis", "Vážený pane,", "S pozdravem", "Datum splatnosti", "Otevírací doba", "Třída",
         "Svíčková", "Knedlíky", "Čaj s citronem", "Žitný chléb", "Ďábelské tousty", "Řízek", "Šunka", "Ústí nad Labem",
         "platí do"),
        ("„{}“", "„{}“", "»{}«", '"{}"'),
        "áčďéěíňóřšťúůýž",
        (" Kč", " Kč", ",- Kč", " CZK"),
    ),
    "Slovak": Wordings(
        ("sk_SK",),
        "a v sa na je že s z do o k aj to by ako za vo pre po od sú však ale tak jeho ktoré ktorý som alebo byť tiež "
        "len pri už až nie pred môže medzi keď viac než bolo podľa prvý niečo kôň dom ešte človek vec päť mäso stôl "
        "kĺb vŕba stĺp vĺča dĺžka tŕň hŕba ďalej šťava deň loď ľahký ľudia môj týždeň účet väčší ôsmy ťažký mŕtvy",
        "januára februára marca apríla mája júna júla augusta septembra októbra novembra decembra",
        ("Spolu", "Medzisúčet", "Na úhradu", "Základ dane", "DPH 20%", "Vrátane DPH", "Hotovosť", "Výdavok",
         "Platba kartou", "Ďakujeme za nákup!", "Príďte zas", "Pokladničný doklad č.", "Faktúra č.", "Množstvo",
         "Jednotková cena", "Zľava", "Dodávateľ", "Odberateľ", "Zákaznícke číslo", "Dátum narodenia", "Priezvisko",
         "Meno", "Bydlisko", "Podpis", "Vážený pán,", "S pozdravom", "Dátum splatnosti", "Otváracie hodiny", "Mäso",
         "Bryndzové halušky", "Čaj s citrónom", "Ražný chlieb", "Rýchla pošta", "Šunka", "Údaje", "Ľanový olej",
         "Výťah", "Kôpor", "platí do"),
        ("„{}“", "„{}“", "»{}«", '"{}"'),
        "áäčďéíĺľňóôŕšťúýž",
        (" €", " €", " EUR"),
    ),
    "Slovene": Wordings(
        ("sl_SI",),
        "in v je na za se da s z so tudi pa ki bi kot po od do ali ne ni še pri lahko iz če ko bo kako samo med tako "
        "več že zelo zato vse leta čas človek življenje država šola žena hiša vaš naš črka široko žival češnja mož "
        "noč večer začetek rešitev slišati možnost drugače",
        "januarja februarja marca aprila maja junija julija avgusta septembra oktobra novembra decembra",
        ("Skupaj", "Vmesni seštevek", "Za plačilo", "Osnova za DDV", "DDV 22%", "Gotovina", "Vračilo",
         "Plačilna kartica", "Hvala za obisk!", "Nasvidenje", "Račun št.", "Količina", "Cena na enoto", "Popust",
         "Kupec", "Davčna številka", "Datum rojstva", "Priimek", "Naslov", "Podpis", "Spoštovani,",
         "Lep pozdrav", "Rok plačila", "Delovni čas", "Žganci", "Češnjev sok", "Štruklji", "Črni čaj", "Pošta",
         "Številka", "Opomba", "velja do"),
        ("„{}“", "»{}«", "»{}«", '"{}"'),
        "čšž",
        (" €", " EUR"),
    ),
    "Croatian": Wordings(
        ("hr_HR",),
        "i u je na da se za su od s o kao što bi ili ali po iz koji koja koje nije biti samo kako može još već nakon "
        "između prema također vrlo gdje čovjek život kuća žena škola više uvijek sljedeći tvrđava mlađi građanin "
        "rođen noć voće ćup ćelija đak među češće riječ vijeće općina tržište sunčan žuto",
        "siječnja veljače ožujka travnja svibnja lipnja srpnja kolovoza rujna listopada studenoga prosinca",
        ("Ukupno", "Međuzbroj", "Za platiti", "Porezna osnovica", "PDV 25%", "Gotovina", "Povrat",
         "Kartično plaćanje", "Hvala na posjetu!", "Doviđenja", "Račun br.", "Količina", "Jedinična cijena", "Popust",
         "Kupac", "OIB", "Datum rođenja", "Prezime", "Kućanski broj", "Potpis", "Poštovani,", "Srdačan pozdrav",
         "Rok plaćanja", "Radno vrijeme", "Ćevapi", "Đuveč", "Žganci", "Čaj od šipka", "Štrukli", "Sok od višnje",
         "Općina", "Grad", "vrijedi do"),
        ("„{}”", "„{}”", "»{}«", '"{}"'),
        "čćđšž",
        (" €", " EUR", " kn"),
    ),
    "Hungarian": Wordings(
        ("hu_HU",),
        "a az és hogy nem is egy ez volt már csak van meg el de mint ki még azt sem vagy után szerint amely között "
        "több lehet így ezt minden majd úgy pedig két nagy első között idő ember nő férfi hét őr űr győz tűz főváros "
        "gyűjt erdő felhő hűvös könyv ügy út kérdés különböző jövő működik szülő betű",
        "január február március április május június július augusztus szeptember október november december",
        ("Összesen", "Részösszeg", "Fizetendő", "Nettó érték", "ÁFA 27%", "Bruttó", "Készpénz", "Visszajáró",
         "Bankkártya", "Köszönjük a vásárlást!", "Viszontlátásra", "Nyugta száma", "Számlaszám", "Mennyiség",
         "Egységár", "Kedvezmény", "Vevő", "Eladó", "Adószám", "Születési idő", "Családi név", "Utónév", "Lakcím",
         "Aláírás", "Tisztelt Uram!", "Üdvözlettel", "Fizetési határidő", "Nyitvatartás", "Gulyásleves", "Pörkölt",
         "Túrós csusza", "Tejföl", "Kávé", "Őszibarack", "Űrlap", "Érvényes", "Időpont", "Összeg"),
        ("„{}”", "„{}”", "»{}«", '"{}"'),
        "áéíóöőúüű",
        (" Ft", " Ft", " HUF"),
    ),
    "Romanian": Wordings(
        ("ro_RO",),
        "de și în a la cu pe nu un o că se din care sau ca mai este pentru prin sunt fi după dar până când între "
        "această fără către toate avea fost două așa își încă ședință țară oraș viață învăță dimineață pâine mâine "
        "câine român înainte șapte ție ție țeavă soț piață coș",
        "ianuarie februarie martie aprilie mai iunie iulie august septembrie octombrie noiembrie decembrie",
        ("Total", "Subtotal", "Total de plată", "Bază de impozitare", "TVA 19%", "Numerar", "Rest",
         "Plată cu cardul", "Vă mulțumim!", "Vă mai așteptăm", "Bon fiscal nr.", "Factură nr.", "Cantitate",
         "Preț unitar", "Reducere", "Furnizor", "Cumpărător", "Cod fiscal", "Data nașterii", "Prenume", "Adresă",
         "Județ", "Semnătură", "Stimate domn,", "Cu stimă", "Termen de plată", "Program", "Ciorbă de burtă",
         "Mămăligă", "Sărmăluțe", "Pâine", "Brânză", "Șuncă", "Țuică", "Înghețată", "Întocmit", "Localitatea",
         "valabil până la"),
        ("„{}”", "„{}”", "«{}»", '"{}"'),
        "ăâîșț",
        (" lei", " lei", " RON"),
        spelling=(("ş", "ș"), ("ţ", "ț"), ("Ş", "Ș"), ("Ţ", "Ț")),
    ),
    "Turkish": Wordings(
        ("tr_TR",),
        "ve bir bu da de için ile çok olarak gibi daha en ne kadar sonra olan ama var her o mi değil ya ki göre ancak "
        "şey iki yıl gün içinde önce yeni büyük üzere diğer bütün şimdi çünkü aynı başka kişi ülke dünya çocuk "
        "öğretmen sağlık ışık ağaç yağmur güç köşe sıcak ılık üç dört altı yedi doğru yanlış şehir çağ İyi İlk İş",
        "Ocak Şubat Mart Nisan Mayıs Haziran Temmuz Ağustos Eylül Ekim Kasım Aralık",
        ("Toplam", "Ara toplam", "Ödenecek tutar", "Matrah", "KDV %18", "KDV dahil", "Nakit", "Para üstü",
         "Kredi kartı", "Teşekkür ederiz!", "Yine bekleriz", "Fiş no", "Fatura no", "Miktar", "Birim fiyatı",
         "İndirim", "Satıcı", "Alıcı", "Müşteri no", "Vergi dairesi", "Doğum tarihi", "Soyadı", "Adı", "İmza",
         "Sayın yetkili,", "Saygılarımızla", "Son ödeme tarihi", "İzmir", "İstanbul", "İade", "Çorba", "Şiş köfte",
         "Ayran", "Çay", "Güveç", "Işıklar Cad.", "Ürün", "Öğrenci", "Geçerlilik"),
        ("“{}”", "“{}”", "«{}»", '"{}"'),
        "çğıöşüİ",
        (" TL", " TL", " TRY"),
    ),
    "Lithuanian": Wordings(
        ("lt_LT",),
        "ir yra į iš su kad tai bet o kaip ne jis jos buvo po už nuo apie prie arba dar tik šis ši jų bus gali labai "
        "taip pat metų metais žmogus žmonės šalis miestas laikas diena naktis vanduo žodis knyga mokykla vaikas tėvas "
        "brolis sesuo ąžuolas žąsis ėjimas įmonė šiandien ūkis mėnuo ženklas šviesa džiaugsmas pėsčias grįžti sąskaita "
        "jūra ūsai švęsti tęsti kęsti ačiū prašom širdis kąsnis paštas turgus duona pienas sūris mėsa žuvis obuolys "
        "gatvė namas darbas įstatymas valstybė tvarka skyrius lentelė visą visų mūsų jūsų",
        "sausio vasario kovo balandžio gegužės birželio liepos rugpjūčio rugsėjo spalio lapkričio gruodžio",
        ("Iš viso", "Tarpinė suma", "Mokėti", "PVM 21%", "Suma be PVM", "Grynieji", "Grąža", "Banko kortelė",
         "Ačiū, kad pirkote!", "Iki pasimatymo", "Kvitas Nr.", "Sąskaita faktūra Nr.", "Kiekis", "Vieneto kaina",
         "Nuolaida", "Pirkėjas", "Pardavėjas", "Įmonės kodas", "Gimimo data", "Pavardė", "Vardas", "Adresas",
         "Parašas", "Gerbiamieji,", "Pagarbiai", "Apmokėti iki", "Darbo laikas", "Šaltibarščiai", "Cepelinai",
         "Žuvies sriuba", "Juoda duona", "Ąžuolo g.", "Ėriena", "Įėjimas", "Ūkio prekės", "Galioja iki"),
        ("„{}“", "„{}“", '"{}"'),
        "ąčęėįšųūž",
        (" €", " Eur", " EUR"),
    ),
    "Latvian": Wordings(
        ("lv_LV",),
        "un ir no ar par uz kas tas bet arī ka kā lai pie pēc ne vai viņš viņa tikai jau vēl ļoti šis šī tā gada gads "
        "cilvēks laiks diena nakts ūdens vārds grāmata skola bērns tēvs māte brālis māsa pilsēta zeme valsts darbs "
        "māja iela ķēniņš ģimene ģērbt ķirsis ļaut ņemt šķirt žēl čūska ēka īss ūsas ābols ādere ātri mēness nozīme "
        "žurnāls šodien rīts vakars nedēļa kaķis suņi zaļš ziņas viņi kļūda šķīvis ņirgāties ģeogrāfija pļava "
        "uzņēmums likums nodaļa tabula cena puķe jēga gaļa zivs maize piens siers",
        "janvāris februāris marts aprīlis maijs jūnijs jūlijs augusts septembris oktobris novembris decembris",
        ("Kopā", "Starpsumma", "Kopā apmaksai", "PVN 21%", "Summa bez PVN", "Skaidra nauda", "Atlikums",
         "Bankas karte", "Paldies par pirkumu!", "Uz redzēšanos", "Čeks Nr.", "Rēķins Nr.", "Daudzums",
         "Cena par vienību", "Atlaide", "Pircējs", "Pārdevējs", "Reģistrācijas Nr.", "Dzimšanas datums", "Uzvārds",
         "Vārds", "Adrese", "Paraksts", "Cienījamie kungi!", "Ar cieņu", "Apmaksas termiņš", "Darba laiks",
         "Rupjmaize", "Ķirbju zupa", "Šķiņķis", "Gaļas kotlete", "Ēdnīca", "Īpašnieks", "Ģērbtuve", "Ņujorka",
         "Žāvēta zivs", "Ļaudona", "Derīgs līdz"),
        ("„{}”", "«{}»", '"{}"'),
        "āčēģīķļņšūž",
        (" €", " EUR"),
    ),
    "Estonian": Wordings(
        ("et_EE",),
        "ja on ei et see ta kui oli mis ka ning aga või oma nii siis kes välja üks kõik veel pärast juba enne väga "
        "saab selle tema aasta inimene aeg päev öö vesi sõna raamat kool laps isa ema vend õde linn maa riik töö "
        "maja tänav võib õhk õun üle ülikool öelda äri ämm šokolaad žürii garaaž duššid režiim žest šampoon tšekk "
        "sügis suvi jõgi järv mõte küsimus köök põhi lõuna ühing tähtis võti müük püha süda kõrge mägi seadus tabel",
        "jaanuar veebruar märts aprill mai juuni juuli august september oktoober november detsember",
        ("Kokku", "Vahesumma", "Tasuda", "Käibemaks 20%", "KM-ta", "Sularaha", "Tagastus", "Pangakaart",
         "Täname ostu eest!", "Head aega", "Kviitung nr", "Arve nr", "Kogus", "Ühiku hind", "Allahindlus", "Ostja",
         "Müüja", "Registrikood", "Sünniaeg", "Perekonnanimi", "Eesnimi", "Aadress", "Allkiri", "Lugupeetud härra,",
         "Lugupidamisega", "Maksetähtaeg", "Lahtiolekuajad", "Hernesupp", "Räim", "Õunakook", "Kõrvitsasalat",
         "Šašlõkk", "Žetoon", "Öömaja", "Äripäev", "Ürituse koht", "Kehtib kuni"),
        ("„{}“", "„{}“", '"{}"'),
        "äõöüšž",
        (" €", " EUR"),
    ),
}  # fmt: skip
"""Languages in Latin letters with their own accents, keyed by English name."""

_GAJ = "abvgdđežzijklmnoprstćufhcčš"
_VUK = "абвгдђежзијклмнопрстћуфхцчш"
_DIGRAPHS = (
    *(("lj", "љ"), ("Lj", "Љ"), ("LJ", "Љ"), ("nj", "њ"), ("Nj", "Њ"), ("NJ", "Њ"), ("dž", "џ"), ("Dž", "Џ")),
    ("DŽ", "Џ"),
)

OWN_SCRIPTS = {
    "Greek": Wordings(
        ("el_GR",),
        "και το να του η της με που την από για είναι στο οι τα θα σε τον των ότι τη στην δεν ένα μια αυτό ως κατά "
        "αλλά μετά πριν μεταξύ όπως όταν πολύ μόνο κάθε άλλο χρόνος ημέρα άνθρωπος ζωή πόλη χώρα νερό λόγος σχολείο "
        "παιδί ώρα έργο ύψος ήλιος όμως ψάρι ξένος γλώσσα θάλασσα φως προϊόν πραϋντικό λαϊκός γαϊδούρι "
        "μαϊμού ξεϋφαίνω προϋπόθεση αϋπνία ψυχή βιβλίο φίλος δρόμος",
        "Ιανουάριος Φεβρουάριος Μάρτιος Απρίλιος Μάιος Ιούνιος Ιούλιος Αύγουστος Σεπτέμβριος Οκτώβριος Νοέμβριος "
        "Δεκέμβριος",
        ("Σύνολο", "Μερικό σύνολο", "Πληρωτέο ποσό", "Καθαρή αξία", "ΦΠΑ 24%", "Μετρητά", "Ρέστα", "Κάρτα",
         "Ευχαριστούμε πολύ!", "Καλή σας όρεξη", "Απόδειξη αρ.", "Τιμολόγιο αρ.", "Ποσότητα", "Τιμή μονάδας",
         "Έκπτωση", "Πελάτης", "Α.Φ.Μ.", "Ημερομηνία", "Ημερομηνία γέννησης", "Επώνυμο", "Όνομα", "Διεύθυνση",
         "Υπογραφή", "Αξιότιμε κύριε,", "Με εκτίμηση", "Ώρες λειτουργίας", "Χωριάτικη σαλάτα", "Ψωμί", "Καφές",
         "Ελαιόλαδο", "Ψάρι σχάρας", "Παϊδάκια", "Ξενοδοχείο", "Ισχύει έως"),
        ("«{}»", "«{}»", "“{}”"),
        "αβγδεζηθικλμνξοπρςστυφχψωάέήίόύώϊϋ",
        (" €", " €", " ευρώ"),
        own_script=True,
    ),
    "Russian": Wordings(
        ("ru_RU",),
        "и в не на что с по как это он из но от за для так или же бы к у то был его все она только еще ещё уже при "
        "более после может между если чтобы очень где человек время день год жизнь город страна вода слово школа "
        "ребёнок съезд объект подъезд щука эхо юг яблоко цена чай хлеб фильм шёлк жёлтый этот эта вьюга царь ёлка",
        "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
        ("Итого", "Всего", "К оплате", "Сумма без НДС", "НДС 20%", "Наличными", "Сдача", "Банковская карта",
         "Спасибо за покупку!", "Приходите ещё", "Кассовый чек", "Счёт-фактура", "Количество", "Цена за единицу",
         "Скидка", "Покупатель", "Продавец", "ИНН", "Дата рождения", "Фамилия", "Имя", "Отчество", "Адрес", "Подпись",
         "Уважаемые господа!", "С уважением", "Срок оплаты", "Режим работы", "Борщ", "Щи", "Хлеб ржаной", "Чай",
         "Объём", "Эскалоп", "Юридический адрес", "Ёмкость", "Действителен до"),
        ("«{}»", "«{}»", "„{}“", '"{}"'),
        "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
        (" руб.", " руб.", " р."),
        own_script=True,
    ),
    "Ukrainian": Wordings(
        ("uk_UA",),
        "і в не на що з по як це він із але від за для так або ж би до у та був його всі вона тільки ще вже при більше "
        "після може між якщо щоб дуже де людина час день рік життя місто країна вода слово школа дитина їжа її ґанок "
        "ґрунт ґудзик їхати об'єкт п'ять сім'я ім'я єдність європа щука юнак яблуко ціна чай хліб цей ця фільм",
        "січня лютого березня квітня травня червня липня серпня вересня жовтня листопада грудня",
        ("Разом", "Усього", "До сплати", "Сума без ПДВ", "ПДВ 20%", "Готівка", "Решта", "Банківська картка",
         "Дякуємо за покупку!", "Приходьте ще", "Касовий чек", "Рахунок", "Кількість",
         "Ціна за одиницю", "Знижка", "Покупець", "Продавець", "Дата народження", "Прізвище", "Ім'я", "По батькові",
         "Адреса", "Підпис", "Шановні панове!", "З повагою", "Термін сплати", "Режим роботи", "Борщ", "Вареники",
         "Хліб житній", "Їдальня", "Об'єм", "Єдиний квиток", "Ґрунтовка", "Юшка", "Дійсний до"),
        ("«{}»", "«{}»", "„{}“", '"{}"'),
        "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",
        (" грн", " грн", " грн."),
        own_script=True,
    ),
    "Bulgarian": Wordings(
        ("bg_BG",),
        "и в не на че с по как това той от но за се да или при само още вече след може между ако много където човек "
        "време ден година живот град страна вода дума училище дете всички този тази което който съд път ъгъл щастие "
        "юни ябълка цена чай хляб филм шест жълт актьор шофьор синьо гьон щъркел месо риба улица закон таблица съюз "
        "фабрика храна цвят звезда обяд вечер народ земя работа слънце пощенски кухня чужд",
        "януари февруари март април май юни юли август септември октомври ноември декември",
        ("Общо", "Междинна сума", "За плащане", "Данъчна основа", "ДДС 20%", "В брой", "Ресто", "Банкова карта",
         "Благодарим Ви!", "Заповядайте отново", "Касов бон", "Фактура", "Количество", "Единична цена", "Отстъпка",
         "Получател", "Доставчик", "ЕИК", "Дата на раждане", "Фамилия", "Име", "Адрес", "Подпис", "Уважаеми господа,",
         "С уважение", "Срок за плащане", "Работно време", "Шопска салата", "Кебапче", "Хляб", "Чай", "Юфка",
         "Ябълков сок", "Шофьор", "Щипка сол", "Жълт", "Валидно до"),
        ("„{}“", "„{}“", "«{}»", '"{}"'),
        "абвгдежзийклмнопрстуфхцчшщъьюя",
        (" лв.", " лв.", " лева"),
        own_script=True,
    ),
    "Serbian": Wordings(
        ("hr_HR",),
        "и у је на да се за су од с о као што би или али по из који која које није бити само како може још већ после "
        "између према врло где човек живот кућа жена школа више увек следећи млађи грађанин рођен ноћ воће ђак међу "
        "реч општина тржиште љубав људи њега коњ џеп оџак уџбеник хиљада фабрика хлеб земља њива цена чај филм",
        "јануара фебруара марта априла маја јуна јула августа септембра октобра новембра децембра",
        ("Укупно", "Међузбир", "За уплату", "Основица", "ПДВ 20%", "Готовина", "Повраћај", "Платна картица",
         "Хвала на посети!", "Довиђења", "Фискални рачун", "Рачун бр.", "Количина", "Јединична цена", "Попуст",
         "Купац", "Продавац", "ПИБ", "Датум рођења", "Презиме", "Име", "Адреса", "Потпис", "Поштовани,",
         "Срдачан поздрав", "Рок плаћања", "Радно време", "Ћевапи", "Ђувеч", "Џем од шљива", "Кајмак", "Његош", "Чај",
         "Хлеб", "Љути ајвар", "Филе", "важи до"),
        ("„{}“", "„{}”", "»{}«", '"{}"'),
        "абвгдђежзијклљмнњопрстћуфхцчџш",
        (" дин.", " РСД"),
        own_script=True,
        spelling=(*_DIGRAPHS, *zip(_GAJ + _GAJ.upper(), _VUK + _VUK.upper())),
    ),
}  # fmt: skip
"""Languages in Greek or Cyrillic letters, keyed by English name."""
