"""Wordings of the languages of western Europe: function words, months, phrases of receipts and letters."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wordings:
    """The wordings of one language, and the faker locales that provide its other words."""

    locales: tuple[str, ...]  # of faker
    common: str  # function words
    months: str
    phrases: tuple[str, ...]  # of shops, letters and forms
    quotes: tuple[str, ...]  # around speech, with {} for the text
    letters: str = ""  # non-ASCII lower-case letters; "": western Europe's letters that occur in the texts above
    currencies: tuple[str, ...] = ()  # printed after an amount; (): those of western Europe
    own_script: bool = False  # not written in the Latin alphabet; then `letters` is the whole alphabet
    spelling: tuple[tuple[str, str], ...] = ()  # replacements in the words of `locales`, applied in order


WORDINGS = {
    "German": Wordings(
        ("de_DE", "de_AT"),
        "der die das und in zu den mit von für auf ist im dem nicht ein eine als auch es an werden aus er hat dass "
        "sie nach wird bei einer um am sind noch wie einem über so zum war haben nur oder aber vor zur bis mehr durch "
        "man können würde müssen schön größer während grün heißt weiß außer zurück früher später Straße Größe Übung",
        "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
        ("Summe", "Zwischensumme", "Gesamtbetrag", "zu zahlen", "MwSt. 19%", "inkl. MwSt.", "Netto", "Brutto", "Bar",
         "Rückgeld", "Kartenzahlung", "Vielen Dank für Ihren Einkauf!", "Auf Wiedersehen", "Es bediente Sie",
         "Tisch", "Rechnung Nr.", "Kundennummer", "Lieferschein", "Menge", "Stück", "Einzelpreis", "Straße",
         "Postleitzahl", "Geburtsdatum", "Unterschrift", "Sehr geehrte Damen und Herren,", "Mit freundlichen Grüßen",
         "Öffnungszeiten", "gültig bis", "Fällig am", "Überweisung", "Käse", "Brötchen", "Äpfel", "Kaffee groß",
         "Süßwaren"),
        ("„{}“", "„{}“", "»{}«", "«{}»", "‚{}‘", '"{}"'),
    ),
    "French": Wordings(
        ("fr_FR", "fr_CA"),
        "de la le et les des en un du une que est pour qui dans a par plus pas au sur ne se ce il sont la l'on avec "
        "son ses d'un d'une mais comme ou si leur y être deux même aussi bien où fait à été après très déjà ça voilà "
        "là c'est n'est qu'il j'ai l'été s'il sûr tôt bientôt hôtel élève forêt naïf cœur œuvre sœur île maître Noël "
        "août",
        "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
        ("Total", "Sous-total", "Total à payer", "TVA 20%", "Montant TTC", "Prix HT", "Espèces", "Rendu monnaie",
         "Carte bancaire", "Merci de votre visite", "À bientôt !", "Merci et à bientôt", "Facture n°", "Reçu",
         "Quantité", "Désignation", "Prix unitaire", "Remise", "Échéance", "Numéro de client", "Téléphone", "Prénom",
         "Adresse", "Date de naissance", "Lieu et date", "Signature", "Madame, Monsieur,",
         "Veuillez agréer nos salutations", "Café crème", "Thé glacé", "Crêpe sucrée", "Pâté", "Bœuf", "Entrée",
         "Plat du jour", "Né le", "Réf."),
        ("« {} »", "« {} »", "«{}»", "“{}”", '"{}"'),
    ),
    "Spanish": Wordings(
        ("es_ES", "es_MX", "es_AR"),
        "de la que el en y a los del se las por un para con no una su al lo como más pero sus le ya o este sí porque "
        "esta entre cuando muy sin sobre también me hasta hay donde quien desde todo nos durante todos uno les ni "
        "está él así aquí mañana después día años aún será están qué cómo cuál niño señor público bilingüe",
        "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
        ("Total", "Subtotal", "Total a pagar", "IVA 21%", "IVA incluido", "Efectivo", "Cambio", "Tarjeta de crédito",
         "¡Gracias por su compra!", "Gracias por su visita", "¡Vuelva pronto!", "Factura n.º", "Artículo",
         "Descripción", "Cantidad", "Precio unitario", "Descuento", "Número de cliente", "Teléfono", "Dirección",
         "Código postal", "Fecha de nacimiento", "Razón social", "Firma", "Atentamente,", "Estimado señor:",
         "Válido hasta", "Camarero", "Café con leche", "Jamón ibérico", "Piña", "Menú del día", "Período", "Página",
         "País", "Año"),
        ("«{}»", "“{}”", '"{}"'),
    ),
    "Italian": Wordings(
        ("it_IT",),
        "di e il la che in a per un è del non sono le con si i da della una al come più ma ha dei nel su ci alla gli "
        "o anche lo se delle questo dal suo dopo era perché così già può sarà città qualità poiché però fino là lì né "
        "cioè c'è l'ha dell'anno un'altra giù sì virtù società università",
        "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
        ("Totale", "Totale complessivo", "Subtotale", "di cui IVA", "IVA 22%", "Contanti", "Resto",
         "Pagamento carta", "Grazie e arrivederci", "Scontrino n.", "Documento commerciale", "Descrizione",
         "Quantità", "Prezzo", "Sconto", "Partita IVA", "Codice fiscale", "Indirizzo", "Città", "Data di nascita",
         "Firma", "Egregio Signore,", "Distinti saluti", "Scadenza", "Qualità", "Caffè", "Tè freddo",
         "Caffè macchiato", "Tiramisù", "Coperto", "Nazionalità", "Località", "Attività", "È gradita la prenotazione"),
        ("«{}»", "“{}”", '"{}"'),
    ),
    "Portuguese": Wordings(
        ("pt_PT", "pt_BR"),
        "de a o que e do da em um para com não uma os no se na por mais as dos como mas ao ele das à seu sua ou "
        "quando muito nos já eu também só pelo pela até isso ela entre depois sem mesmo aos são está você às têm há é "
        "avó pão então amanhã três mês coração informação ação município próximo último saúde água avô põe",
        "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
        ("Total", "Subtotal", "Total a pagar", "IVA 23%", "IVA incluído", "Dinheiro", "Troco", "Cartão de crédito",
         "Obrigado pela sua visita", "Volte sempre!", "Fatura n.º", "Descrição", "Quantidade", "Preço unitário",
         "Desconto", "Contribuinte n.º", "Endereço", "Código postal", "Data de nascimento", "Assinatura",
         "Observações", "Com os melhores cumprimentos", "Emissão", "Validade", "Café", "Pão de queijo", "Água",
         "Maçã", "Bifana", "Número", "Município", "São Paulo", "Profissão", "Câmbio", "Situação"),
        ("«{}»", "“{}”", '"{}"'),
    ),
    "Dutch": Wordings(
        ("nl_NL", "nl_BE"),
        "de van het een en in is dat op te zijn met voor niet aan er die om ook als dan maar bij of uit nog naar "
        "heeft ze wordt door over ik je hij was tot hun worden we kan meer geen deze al zo wat één geïnteresseerd "
        "beïnvloed coördinatie ideeën zoëven reünie België financiële vóór café",
        "januari februari maart april mei juni juli augustus september oktober november december",
        ("Totaal", "Subtotaal", "Te betalen", "BTW 21%", "incl. btw", "Contant", "Wisselgeld", "Pinbetaling",
         "Bedankt en tot ziens!", "Bedankt voor uw bezoek", "Factuurnummer", "Omschrijving", "Aantal", "Stuksprijs",
         "Korting", "Klantnummer", "Adres", "Postcode", "Geboortedatum", "Handtekening", "Geachte heer, mevrouw,",
         "Met vriendelijke groet", "Vervaldatum", "Koffie", "Crème brûlée", "Één persoon", "Financiële administratie"),
        ("„{}”", "“{}”", "‘{}’", '"{}"'),
    ),
    "Swedish": Wordings(
        ("sv_SE",),
        "och att det i en som på är av för med till den har de inte om ett han men var jag sig från vi så kan när år "
        "under också efter eller nu sin där vid mot skulle blir än över går får där måste många både själv någon även "
        "först större sådan västra södra öppet återkomst idé",
        "januari februari mars april maj juni juli augusti september oktober november december",
        ("Summa", "Att betala", "Totalt", "varav moms", "Moms 25%", "Kontant", "Växel", "Kortbetalning",
         "Tack för besöket!", "Välkommen åter", "Öppettider", "Kvitto nr", "Fakturanummer", "Benämning", "Antal",
         "À-pris", "Förfallodatum", "Kundnummer", "Adress", "Födelsedatum", "Underskrift", "Med vänlig hälsning",
         "Smörgås", "Kaffe", "Köttbullar", "Räksallad", "Öl", "Förnamn", "Efternamn", "Ärende"),
        ("”{}”", "”{}”", '"{}"'),
    ),
    "Danish": Wordings(
        ("da_DK",),
        "og i at det er en til på som af for den med de der har ikke et han om var jeg sig fra vi så kan når år også "
        "efter eller nu hvor ved mod skulle bliver over går får må både selv nogen først større sådan være være gøre "
        "før både små første største søndag lørdag",
        "januar februar marts april maj juni juli august september oktober november december",
        ("I alt", "Subtotal", "At betale", "heraf moms", "Moms 25%", "Kontant", "Byttepenge", "Kortbetaling",
         "Tak for besøget!", "På gensyn", "Åbningstider", "Bon nr.", "Fakturanr.", "Beskrivelse", "Antal",
         "Stykpris", "Forfaldsdato", "Kundenummer", "Adresse", "Fødselsdato", "Underskrift", "Med venlig hilsen",
         "Smørrebrød", "Rødgrød", "Kaffe", "Øl", "Æblekage", "Beløb", "Nærværende aftale", "Vedrørende"),
        ("»{}«", "”{}”", '"{}"'),
    ),
    "Norwegian": Wordings(
        ("no_NO",),
        "og i det er en til på som av for den med de har ikke et han om var jeg seg fra vi så kan når år også etter "
        "eller nå hvor ved mot skulle blir over går får må både selv noen først større sånn være gjøre før små første "
        "største søndag lørdag måned følgende tjenester",
        "januar februar mars april mai juni juli august september oktober november desember",
        ("Totalt", "Sum", "Å betale", "herav mva.", "Mva. 25%", "Kontant", "Veksel", "Bankkort", "Takk for besøket!",
         "Velkommen tilbake", "Åpningstider", "Kvittering nr.", "Fakturanr.", "Beskrivelse", "Antall",
         "Pris pr. stk.", "Forfallsdato", "Kundenummer", "Adresse", "Fødselsdato", "Underskrift",
         "Med vennlig hilsen", "Brødskive", "Rømme", "Kaffe", "Øl", "Eplekake", "Beløp", "Vedrørende", "Ærlig talt"),
        ("«{}»", "«{}»", '"{}"'),
    ),
    "Finnish": Wordings(
        ("fi_FI",),
        "ja on ei se että oli joka hän mutta ovat kun myös niin kuin tai jos vain nyt jo sen ole mitä kaikki vielä ne "
        "hänen sekä siitä ennen jälkeen tämä tässä pitää täällä päivä hyvä työ yö sää äiti pöytä käyttö vähän enää",
        "tammikuu helmikuu maaliskuu huhtikuu toukokuu kesäkuu heinäkuu elokuu syyskuu lokakuu marraskuu joulukuu",
        ("Yhteensä", "Välisumma", "Maksettava", "Alv 24%", "Käteinen", "Takaisin", "Korttimaksu",
         "Kiitos käynnistä!", "Tervetuloa uudelleen", "Kuitti nro", "Laskun numero", "Määrä", "Hinta", "Alennus",
         "Eräpäivä", "Osoite", "Syntymäaika", "Allekirjoitus", "Ystävällisin terveisin", "Kahvi", "Pöytä", "Leipä",
         "Jäätelö", "Sähköposti"),
        ("”{}”", "»{}»", '"{}"'),
    ),
}  # fmt: skip
"""Keyed by the English name of the language."""
