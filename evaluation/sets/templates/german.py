"""German paragraphs about invented towns."""

from evaluation.sets.templates import Template, Topic

GERMAN = Template(
    towns=(
        "Ahrenfelde",
        "Birkloh",
        "Dornhagen",
        "Eschweiler Höhe",
        "Finkenried",
        "Grünstetten",
        "Haselbrunn",
        "Ilmersdorf",
        "Kaltenmoor",
        "Lindenrode",
        "Mühlacker See",
        "Niederquell",
        "Oberförsting",
        "Prüßwalde",
        "Quernheide",
        "Rabenstrand",
        "Südergellen",
        "Tannwörth",
        "Ufergrund",
        "Weißkirch",
    ),
    choices={
        "person": (
            "Adelheid Krüger",
            "Balthasar Öhm",
            "Clara Weißmüller",
            "Dietrich Vogt",
            "Elsbeth Hahnemann",
            "Friedrich Löwe",
            "Gesine Tiedemann",
            "Heinrich Straßburger",
            "Ida Schönfeld",
            "Jost Grabow",
        ),
        "stone": ("Sandstein", "Granit", "Kalkstein", "Schiefer", "Basalt", "Backstein"),
        "animal": ("Störche", "Fledermäuse", "Mauersegler", "Dohlen", "Turmfalken", "Schleiereulen"),
        "plant": ("Apfelbäume", "Kirschbäume", "Weinreben", "Lavendelfelder", "Rosenstöcke", "Walnussbäume"),
        "month": ("Februar", "April", "Juni", "August", "September", "November"),
        "craft": ("Töpferei", "Weberei", "Glasbläserei", "Uhrmacherei", "Korbflechterei", "Buchbinderei"),
    },
    topics=(
        Topic(
            (
                "Die alte Brücke von {town} überspannt den Fluss mit fünf Bögen aus {stone}.",
                "{person} ließ sie {year} errichten, nachdem ein Hochwasser die Fähre fortgerissen hatte.",
                "Unter dem mittleren Bogen nisten {animal}, weshalb Boote dort langsam fahren müssen.",
            ),
            (
                (0, "Aus welchem Gestein ist die alte Brücke in {town} gebaut?"),
                (1, "Wer hat die Brücke in {town} bauen lassen?"),
                (2, "Welche Tiere brüten unter der Brücke von {town}?"),
            ),
            (
                (0, "Aus welchem Gestein bestehen die Brücken in {town}?"),
                (1, "Wer hat den Bau der Brücke in {town} veranlasst?"),
                (2, "Welche Tiere brüten bei der Brücke von {town}?"),
            ),
        ),
        Topic(
            (
                "Das Museum in {town} zeigt Werkzeuge aus der früheren {craft} des Ortes.",
                "Gegründet wurde es {year} von {person}, einer Sammlung von {count} Stücken wegen.",
                "Im {month} bleibt das Haus für die Reinigung der Vitrinen geschlossen.",
            ),
            (
                (0, "Von welchem Handwerk sind die Werkzeuge im Museum von {town}?"),
                (1, "Auf wessen Sammlung geht das Museum in {town} zurück?"),
                (2, "Wann ist das Museum von {town} zu?"),
            ),
            (
                (0, "Welches Handwerk wird in den Ausstellungen des Museums von {town} vorgestellt?"),
                (1, "Auf wessen Sammlungen gehen die Museen von {town} zurück?"),
                (2, "Wann ist das Museum von {town} nicht geöffnet?"),
            ),
        ),
        Topic(
            (
                "Die Bücherei von {town} besitzt {count} Handschriften, die älteste aus dem Jahr {year}.",
                "Ausgeliehen werden darf nur mit einem Ausweis, den {person} im Rathaus ausstellt.",
                "Kinder lesen im Garten unter den Ästen alter {plant}.",
            ),
            (
                (0, "Wie viele Handschriften hat die Bücherei in {town}?"),
                (1, "Von wem bekommt man in {town} den Ausweis zum Ausleihen?"),
                (2, "Wo lesen die Kinder in der Bücherei von {town}?"),
            ),
            (
                (0, "Wie viele Manuskripte bewahrt die Bücherei in {town} auf?"),
                (1, "Von wem bekommt man in {town} einen Ausweis für die Büchereien?"),
                (2, "Wo lesen die Kinder der Bücherei von {town}?"),
            ),
        ),
        Topic(
            (
                "Jedes Jahr im {month} feiert {town} ein Fest mit Fackeln und Blasmusik.",
                "Es erinnert an das Jahr {year}, in dem {person} die Stadttore öffnete.",
                "Verkauft werden Suppe, Most und Waren aus der {craft}.",
            ),
            (
                (0, "In welchem Monat ist das Fest in {town}?"),
                (1, "Woran erinnert das Fest von {town}?"),
                (2, "Was wird auf dem Fest in {town} verkauft?"),
            ),
            (
                (0, "In welchem Monat finden die Feste von {town} statt?"),
                (1, "Woran erinnern die Feierlichkeiten in {town}?"),
                (2, "Was kann man auf den Festen in {town} kaufen?"),
            ),
        ),
        Topic(
            (
                "Die Schule in {town} unterrichtet {count} Schülerinnen und Schüler in einem Gebäude aus {stone}.",
                "Ihre erste Lehrerin war {person}, die bis {year} im Dienst blieb.",
                "Auf dem Schulhof wachsen {plant}, deren Ernte die Klassen verkaufen.",
            ),
            (
                (0, "Wie viele Schüler hat die Schule von {town}?"),
                (1, "Wie hieß die erste Lehrerin der Schule in {town}?"),
                (2, "Was wächst auf dem Schulhof von {town}?"),
            ),
            (
                (0, "Wie viele Kinder besuchen die Schulen von {town}?"),
                (1, "Wie hieß die Lehrerin, mit der die Schule in {town} begann?"),
                (2, "Was pflanzte man auf den Höfen der Schule von {town}?"),
            ),
        ),
        Topic(
            (
                "Der Bahnhof von {town} wurde {year} eröffnet und hat bis heute nur ein Gleis.",
                "Züge halten dort zweimal am Tag, im {month} auch nachts.",
                "Im Wartesaal hängt ein Gemälde von {person}, das {animal} über dem Wasser zeigt.",
            ),
            (
                (0, "Seit wann hat {town} einen Bahnhof?"),
                (1, "Wann halten Züge nachts im Bahnhof von {town}?"),
                (2, "Was zeigt das Gemälde im Bahnhof von {town}?"),
            ),
            (
                (0, "Seit wann gibt es in {town} Bahnhöfe?"),
                (1, "Wann fahren in {town} nachts Züge am Bahnhof ab?"),
                (2, "Was sieht man auf dem Bild im Bahnhof von {town}?"),
            ),
        ),
        Topic(
            (
                "Der Turm von {town} ist {count} Fuß hoch und ganz aus {stone} gemauert.",
                "Im Jahr {year} schlug ein Blitz in die Spitze, die {person} erneuern ließ.",
                "Unter dem Dach leben {animal}, und die Glocken schweigen ihretwegen im {month}.",
            ),
            (
                (0, "Wie hoch ist der Turm von {town}?"),
                (1, "Wer ließ nach dem Blitz die Spitze vom Turm in {town} erneuern?"),
                (2, "Warum schweigen die Glocken im Turm von {town}?"),
            ),
            (
                (0, "Welche Höhe erreichen die Türme in {town}?"),
                (1, "Wer sorgte nach dem Blitzschlag für die Erneuerung der Turmspitze in {town}?"),
                (2, "Warum werden die Glocken des Turmes von {town} nicht geläutet?"),
            ),
        ),
    ),
)
