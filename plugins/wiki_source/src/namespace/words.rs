//! The namespace words of the larger wikis, one list a language and one a wiki, words parted by `|`.
//!
//! They are facts about those wikis, taken from MediaWiki's language files and Wikimedia's
//! configuration: names in force, gendered forms, former names and aliases. Keys are IRC channels.
//! A wiki that is not here is read by a rule instead of a list, so adding one changes its rows.

/// Canonical names, which every MediaWiki understands whatever its language.
pub(super) const EVERYWHERE: &str = "Media|Special|Talk|User|User talk|Project|Project talk|File|File talk|Image|\
    Image talk|MediaWiki|MediaWiki talk|Template|Template talk|Help|Help talk|Category|Category talk|Module|\
    Module talk|Gadget|Gadget talk|Gadget definition|Gadget definition talk|TimedText|TimedText talk";

const ENGLISH: &str = "Portal|Portal talk|Draft|Draft talk";

const GERMAN: &str = "Medium|Spezial|Diskussion|Benutzer|Benutzerin|Benutzer Diskussion|Benutzerin Diskussion|\
    Wikipedia|Wikipedia Diskussion|Datei|Datei Diskussion|Bild|Bild Diskussion|MediaWiki Diskussion|Vorlage|\
    Vorlage Diskussion|Hilfe|Hilfe Diskussion|Kategorie|Kategorie Diskussion|Portal|Portal Diskussion|Modul|\
    Modul Diskussion|Gadget Diskussion|Gadget-Definition|Gadget-Definition Diskussion|Thema";

const FRENCH: &str = "Média|Spécial|Discussion|Utilisateur|Utilisatrice|Discussion utilisateur|\
    Discussion utilisatrice|Discussion Utilisateur|Discussion Utilisatrice|Wikipédia|Wikipedia|\
    Discussion Wikipédia|Discussion Wikipedia|Fichier|Discussion fichier|Discussion Fichier|\
    Discussion MediaWiki|Modèle|Discussion modèle|Discussion Modèle|Aide|Discussion aide|Discussion Aide|\
    Catégorie|Discussion catégorie|Discussion Catégorie|Portail|Discussion Portail|Projet|Discussion Projet|\
    Référence|Discussion Référence|Discussion module|Discussion Module|Sujet|Discussion gadget|\
    Définition de gadget|Discussion définition de gadget";

const SPANISH: &str = "Medio|Especial|Discusión|Usuario|Usuaria|Usuario discusión|Usuaria discusión|\
    Usuario Discusión|Usuaria Discusión|Wikipedia|Wikipedia discusión|Wikipedia Discusión|Archivo|\
    Archivo discusión|Archivo Discusión|Imagen|Imagen Discusión|MediaWiki discusión|MediaWiki Discusión|\
    Plantilla|Plantilla discusión|Plantilla Discusión|Ayuda|Ayuda discusión|Ayuda Discusión|Categoría|\
    Categoría discusión|Categoría Discusión|Portal|Portal discusión|Portal Discusión|Wikiproyecto|\
    Wikiproyecto discusión|Wikiproyecto Discusión|Anexo|Anexo discusión|Anexo Discusión|Módulo|\
    Módulo discusión|Módulo Discusión|Accesorio|Accesorio discusión|Accesorio definición|\
    Accesorio definición discusión|Tema";

const ITALIAN: &str = "Speciale|Discussione|Utente|Discussioni utente|Wikipedia|Discussioni Wikipedia|\
    Discussioni file|Immagine|Discussioni immagine|Discussioni MediaWiki|Discussioni template|Aiuto|\
    Discussioni aiuto|Categoria|Discussioni categoria|Portale|Discussioni portale|Progetto|\
    Discussioni progetto|Bozza|Discussioni bozza|Modulo|Discussioni modulo|Accessorio|Discussioni accessorio|\
    Definizione accessorio|Discussioni definizione accessorio";

const PORTUGUESE: &str = "Multimédia|Mídia|Especial|Discussão|Usuário(a)|Usuário|Usuária|Utilizador|Utilizadora|\
    Usuário(a) Discussão|Usuário Discussão|Usuária Discussão|Utilizador Discussão|Utilizadora Discussão|\
    Wikipédia|Wikipédia Discussão|Ficheiro|Ficheiro Discussão|Arquivo|Arquivo Discussão|Imagem|\
    Imagem Discussão|MediaWiki Discussão|Predefinição|Predefinição Discussão|Ajuda|Ajuda Discussão|Categoria|\
    Categoria Discussão|Portal|Portal Discussão|Anexo|Anexo Discussão|Livro|Livro Discussão|Módulo|\
    Módulo Discussão|Programa Educacional|Programa Educacional Discussão|Tópico";

const RUSSIAN: &str = "Медиа|Служебная|Обсуждение|Участник|Участница|Обсуждение участника|\
    Обсуждение участницы|Википедия|Обсуждение Википедии|Файл|Обсуждение файла|Изображение|\
    Обсуждение изображения|Обсуждение MediaWiki|Шаблон|Обсуждение шаблона|Справка|Обсуждение справки|\
    Категория|Обсуждение категории|Портал|Обсуждение портала|Инкубатор|Обсуждение Инкубатора|Проект|\
    Обсуждение проекта|Арбитраж|Обсуждение арбитража|Модуль|Обсуждение модуля|Гаджет|Обсуждение гаджета|\
    Определение гаджета|Обсуждение определения гаджета|Образовательная программа|\
    Обсуждение образовательной программы";

// The hyphen between a namespace and its talk is U+2010 on this wiki.
const JAPANESE: &str = "メディア|特別|ノート|トーク|利用者|利用者‐会話|利用者・トーク|Wikipedia|Wikipedia‐ノート|\
    Wikipedia・トーク|ファイル|ファイル‐ノート|ファイル・トーク|画像|画像‐ノート|MediaWiki‐ノート|MediaWiki・トーク|\
    Template‐ノート|テンプレート|テンプレート・トーク|Help‐ノート|ヘルプ|ヘルプ・トーク|Category‐ノート|カテゴリ|\
    カテゴリ・トーク|Portal|Portal‐ノート|プロジェクト|プロジェクト‐ノート|モジュール|モジュール‐ノート|\
    モジュール・トーク";

const CHINESE: &str = "媒体|媒體|特殊|讨论|討論|用户|用戶|使用者|用户讨论|用戶討論|使用者討論|Wikipedia|Wikipedia talk|\
    维基百科|維基百科|维基百科讨论|維基百科討論|文件|檔案|图像|圖像|文件讨论|檔案討論|模板|样板|樣板|模板讨论|模板討論|\
    帮助|幫助|使用說明|帮助讨论|幫助討論|分类|分類|分类讨论|分類討論|Portal|Portal talk|主题|主題|WikiProject|\
    WikiProject talk|Draft|Draft talk|草稿|模块|模塊|模組|模块讨论|模組討論";

const POLISH: &str = "Specjalna|Dyskusja|Wikipedysta|Wikipedystka|Dyskusja wikipedysty|Dyskusja wikipedystki|\
    Dyskusja Wikipedysty|Dyskusja Wikipedystki|Użytkownik|Użytkowniczka|Dyskusja użytkownika|\
    Dyskusja użytkowniczki|Wikipedia|Dyskusja Wikipedii|Plik|Dyskusja pliku|Grafika|Dyskusja grafiki|\
    Dyskusja MediaWiki|Szablon|Dyskusja szablonu|Pomoc|Dyskusja pomocy|Kategoria|Dyskusja kategorii|Portal|\
    Dyskusja portalu|Wikiprojekt|Dyskusja wikiprojektu|Dyskusja Wikiprojektu|Moduł|Dyskusja modułu|Gadżet|\
    Dyskusja gadżetu|Dyskusja Wikipedia";

const DUTCH: &str = "Speciaal|Overleg|Gebruiker|Overleg gebruiker|Wikipedia|Overleg Wikipedia|Bestand|\
    Overleg bestand|Afbeelding|Overleg afbeelding|Overleg MediaWiki|Sjabloon|Overleg sjabloon|Overleg help|\
    Categorie|Overleg categorie|Portaal|Overleg portaal|Overleg module|Overleg gadget|Gadgetdefinitie|\
    Overleg gadgetdefinitie|Onderwerp";

const SWEDISH: &str = "Diskussion|Användare|Användardiskussion|Wikipedia|Wikipediadiskussion|\
    Wikipedia diskussion|Fil|Fildiskussion|Bild|Bilddiskussion|MediaWiki-diskussion|Mall|Malldiskussion|Hjälp|\
    Hjälpdiskussion|Kategori|Kategoridiskussion|Portal|Portaldiskussion|Modul|Moduldiskussion|Ämne";

const VIETNAMESE: &str = "Phương tiện|Đặc biệt|Thảo luận|Thành viên|Thảo luận Thành viên|Wikipedia|\
    Thảo luận Wikipedia|Tập tin|Thảo luận Tập tin|Hình|Thảo luận Hình|Thảo luận MediaWiki|Bản mẫu|Tiêu bản|\
    Thảo luận Bản mẫu|Thảo luận Tiêu bản|Trợ giúp|Thảo luận Trợ giúp|Thể loại|Thảo luận Thể loại|\
    Cổng thông tin|Thảo luận Cổng thông tin|Chủ đề|Mô đun|Thảo luận Mô đun|Tiện ích|Thảo luận Tiện ích";

const ARABIC: &str = "ميديا|وسائط|خاص|نقاش|مستخدم|مستخدمة|نقاش المستخدم|نقاش المستخدمة|ويكيبيديا|\
    نقاش ويكيبيديا|ملف|نقاش الملف|صورة|نقاش الصورة|ميدياويكي|نقاش ميدياويكي|قالب|نقاش القالب|مساعدة|\
    نقاش المساعدة|تصنيف|نقاش التصنيف|بوابة|نقاش البوابة|مسودة|نقاش المسودة|وحدة|نقاش الوحدة|إضافة|\
    نقاش الإضافة|تعريف الإضافة|نقاش تعريف الإضافة|موضوع";

const HEBREW: &str = "מדיה|מיוחד|שיחה|משתמש|משתמשת|שיחת משתמש|שיחת משתמשת|ויקיפדיה|שיחת ויקיפדיה|קובץ|\
    שיחת קובץ|תמונה|שיחת תמונה|מדיה ויקי|שיחת מדיה ויקי|תבנית|שיחת תבנית|עזרה|שיחת עזרה|קטגוריה|\
    שיחת קטגוריה|פורטל|שיחת פורטל|ספר|שיחת ספר|טיוטה|שיחת טיוטה|יחידה|שיחת יחידה|גאדג'ט|שיחת גאדג'ט|\
    הגדרת גאדג'ט|שיחת הגדרת גאדג'ט|נושא";

const WIKIPEDIA: &str = "Wikipedia|Wikipedia talk|WP|WT|TM|Book|Book talk|Education Program|\
    Education Program talk";

const COMMONS: &str = "Commons|Commons talk|Creator|Creator talk|Sequence|Sequence talk|Institution|\
    Institution talk|Museum|Museum talk|Campaign|Campaign talk|Data|Data talk|Translations|Translations talk|\
    GWToolset|GWToolset talk";

const WIKIDATA: &str = "Wikidata|Wikidata talk|Property|Property talk|Query|Query talk|Lexeme|Lexeme talk|\
    EntitySchema|EntitySchema talk|Translations|Translations talk";

const META: &str = "Meta|Meta talk|Research|Research talk|Grants|Grants talk|Iberocoop|Iberocoop talk|Programs|\
    Programs talk|Participation|Participation talk|Schema|Schema talk|Zero|Zero talk|CNBanner|CNBanner talk|\
    Translations|Translations talk|Campaign|Campaign talk|OAuth|OAuth talk|Event|Event talk";

const WIKTIONARY: &str = "Wiktionary|Wiktionary talk|WT|Appendix|Appendix talk|Concordance|Concordance talk|\
    Index|Index talk|Rhymes|Rhymes talk|Transwiki|Transwiki talk|Thesaurus|Thesaurus talk|Wikisaurus|\
    Wikisaurus talk|Citations|Citations talk|Sign gloss|Sign gloss talk|Reconstruction|Reconstruction talk";

const WIKISOURCE: &str = "Wikisource|Wikisource talk|WS|Portal|Portal talk|Author|Author talk|Page|Page talk|\
    Index|Index talk|Translation|Translation talk";

/// Channel and lists of each wiki; [`EVERYWHERE`] belongs to all of them.
pub(super) const WIKIS: &[(&str, &[&str])] = &[
    ("#en.wikipedia", &[WIKIPEDIA, ENGLISH]),
    ("#simple.wikipedia", &[WIKIPEDIA, ENGLISH]),
    ("#de.wikipedia", &[GERMAN]),
    ("#fr.wikipedia", &[FRENCH]),
    ("#es.wikipedia", &[SPANISH]),
    ("#it.wikipedia", &[ITALIAN]),
    ("#pt.wikipedia", &[PORTUGUESE]),
    ("#ru.wikipedia", &[RUSSIAN]),
    ("#ja.wikipedia", &[JAPANESE]),
    ("#zh.wikipedia", &[CHINESE]),
    ("#pl.wikipedia", &[POLISH]),
    ("#nl.wikipedia", &[DUTCH]),
    ("#sv.wikipedia", &[SWEDISH]),
    ("#vi.wikipedia", &[VIETNAMESE]),
    ("#ar.wikipedia", &[ARABIC]),
    ("#he.wikipedia", &[HEBREW]),
    ("#commons.wikimedia", &[COMMONS]),
    ("#wikidata.wikipedia", &[WIKIDATA]),
    ("#meta.wikimedia", &[META]),
    ("#en.wiktionary", &[WIKTIONARY]),
    ("#en.wikisource", &[WIKISOURCE]),
];
