"""Spanish paragraphs about invented towns."""

from evaluation.sets.templates import Template, Topic

SPANISH = Template(
    towns=(
        "Aldearriba",
        "Barrancoseco",
        "Cañaverde",
        "Doñablanca",
        "El Encinar",
        "Fuentelmonte",
        "Guadalpeña",
        "Hontanares",
        "Islamayor",
        "Jarandilla Nueva",
        "Las Cumbres",
        "Miraflor",
        "Navalmanzano",
        "Olmedilla",
        "Peñafiel Chico",
        "Quintanar",
        "Ribadulce",
        "Salinillas",
        "Torrequebrada",
        "Valdehierro",
    ),
    choices={
        "person": (
            "Aurelia Benítez",
            "Baltasar Ordóñez",
            "Carmen Ibáñez",
            "Domingo Yáñez",
            "Elvira Montalbán",
            "Fermín Zubiri",
            "Gregoria Peña",
            "Higinio Cárdenas",
            "Inés Goyeneche",
            "Jacinto Marañón",
        ),
        "stone": ("granito", "pizarra", "mármol", "arenisca", "ladrillo", "caliza"),
        "animal": ("cigüeñas", "golondrinas", "vencejos", "lechuzas", "murciélagos", "garzas"),
        "plant": ("olivos", "almendros", "naranjos", "higueras", "viñedos", "romeros"),
        "month": ("febrero", "abril", "junio", "agosto", "septiembre", "noviembre"),
        "craft": ("alfarería", "cestería", "relojería", "sastrería", "herrería", "encuadernación"),
    },
    topics=(
        Topic(
            (
                "El puente viejo de {town} cruza el río con cinco arcos de {stone}.",
                "{person} lo mandó construir en {year}, después de que una crecida se llevara la barca.",
                "Bajo el arco central anidan {animal}, por lo que las embarcaciones deben pasar despacio.",
            ),
            (
                (0, "¿De qué piedra es el puente viejo de {town}?"),
                (1, "¿Quién mandó hacer el puente de {town}?"),
                (2, "¿Qué animales anidan bajo el puente de {town}?"),
            ),
            (
                (0, "¿De qué piedra están hechos los puentes de {town}?"),
                (1, "¿Quién ordenó la construcción del puente en {town}?"),
                (2, "¿Qué animales tienen su nido en los puentes de {town}?"),
            ),
        ),
        Topic(
            (
                "El museo de {town} expone herramientas de la antigua {craft} del pueblo.",
                "Lo fundó en {year} {person} para guardar una colección de {count} piezas.",
                "En {month} cierra sus puertas para limpiar las vitrinas.",
            ),
            (
                (0, "¿De qué oficio son las herramientas del museo de {town}?"),
                (1, "¿De quién era la colección con la que empezó el museo de {town}?"),
                (2, "¿Cuándo cierra el museo de {town}?"),
            ),
            (
                (0, "¿Qué oficio muestran los museos de {town}?"),
                (1, "¿De quién eran las colecciones de los museos de {town}?"),
                (2, "¿Cuándo está cerrado el museo de {town}?"),
            ),
        ),
        Topic(
            (
                "La biblioteca de {town} posee {count} manuscritos, el más antiguo del año {year}.",
                "Solo se presta con un carné que entrega {person} en el ayuntamiento.",
                "Los niños leen en el jardín, a la sombra de los {plant}.",
            ),
            (
                (0, "¿Cuántos manuscritos tiene la biblioteca de {town}?"),
                (1, "¿Quién entrega el carné de la biblioteca en {town}?"),
                (2, "¿Dónde leen los niños en la biblioteca de {town}?"),
            ),
            (
                (0, "¿Cuántos manuscritos conservan las bibliotecas de {town}?"),
                (1, "¿Quién da los carnés de la biblioteca en {town}?"),
                (2, "¿Dónde lee un niño en las bibliotecas de {town}?"),
            ),
        ),
        Topic(
            (
                "Cada año, en {month}, {town} celebra una fiesta con antorchas y música de viento.",
                "Recuerda el año {year}, cuando {person} abrió las puertas de la ciudad.",
                "Se venden sopa, vino nuevo y productos de {craft}.",
            ),
            (
                (0, "¿En qué mes es la fiesta de {town}?"),
                (1, "¿Qué recuerda la fiesta de {town}?"),
                (2, "¿Qué se vende en la fiesta de {town}?"),
            ),
            (
                (0, "¿En qué mes se celebran las fiestas de {town}?"),
                (1, "¿Qué se recuerda en la celebración de {town}?"),
                (2, "¿Qué se puede comprar en las fiestas de {town}?"),
            ),
        ),
        Topic(
            (
                "La escuela de {town} enseña a {count} alumnos en un edificio de {stone}.",
                "Su primera maestra fue {person}, que siguió en su puesto hasta {year}.",
                "En el patio crecen {plant}, cuya cosecha venden las clases.",
            ),
            (
                (0, "¿Cuántos alumnos tiene la escuela de {town}?"),
                (1, "¿Quién fue la primera maestra de la escuela de {town}?"),
                (2, "¿Qué crece en el patio de la escuela de {town}?"),
            ),
            (
                (0, "¿Cuántos alumnos asisten a las escuelas de {town}?"),
                (1, "¿Cómo se llamaba la maestra que inició la escuela de {town}?"),
                (2, "¿Qué se ha plantado en los patios de la escuela de {town}?"),
            ),
        ),
        Topic(
            (
                "La estación de {town} se inauguró en {year} y todavía hoy tiene una sola vía.",
                "Los trenes paran dos veces al día y, en {month}, también de noche.",
                "En la sala de espera cuelga un cuadro de {person} que muestra {animal} sobre el agua.",
            ),
            (
                (0, "¿Cuándo se inauguró la estación de {town}?"),
                (1, "¿Cuándo paran de noche los trenes en la estación de {town}?"),
                (2, "¿Qué muestra el cuadro de la estación de {town}?"),
            ),
            (
                (0, "¿Desde cuándo hay estaciones de tren en {town}?"),
                (1, "¿Cuándo pasan trenes nocturnos por la estación de {town}?"),
                (2, "¿Qué se ve en el cuadro de la estación de {town}?"),
            ),
        ),
        Topic(
            (
                "La torre de {town} mide {count} pies y está levantada por entero en {stone}.",
                "En {year} cayó un rayo en la punta, que {person} hizo reparar.",
                "Bajo el tejado viven {animal}, y por ellas las campanas callan en {month}.",
            ),
            (
                (0, "¿Cuánto mide la torre de {town}?"),
                (1, "¿Quién hizo reparar la torre de {town} después del rayo?"),
                (2, "¿Por qué callan las campanas de la torre de {town}?"),
            ),
            (
                (0, "¿Qué altura alcanzan las torres de {town}?"),
                (1, "¿Quién se ocupó de las reparaciones de la torre de {town} tras el rayo?"),
                (2, "¿Por qué no suenan las campanas de la torre de {town}?"),
            ),
        ),
    ),
)
