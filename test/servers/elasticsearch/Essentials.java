import java.io.IOException;
import java.io.StringReader;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.function.Predicate;
import java.util.function.Supplier;
import org.apache.lucene.analysis.Analyzer;
import org.apache.lucene.analysis.LowerCaseFilter;
import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.Tokenizer;
import org.apache.lucene.analysis.core.FlattenGraphFilter;
import org.apache.lucene.analysis.core.KeywordTokenizer;
import org.apache.lucene.analysis.core.LetterTokenizer;
import org.apache.lucene.analysis.core.WhitespaceTokenizer;
import org.apache.lucene.analysis.en.EnglishAnalyzer;
import org.apache.lucene.analysis.en.EnglishPossessiveFilter;
import org.apache.lucene.analysis.en.KStemFilter;
import org.apache.lucene.analysis.en.PorterStemFilter;
import org.apache.lucene.analysis.miscellaneous.ASCIIFoldingFilter;
import org.apache.lucene.analysis.miscellaneous.LengthFilter;
import org.apache.lucene.analysis.miscellaneous.TrimFilter;
import org.apache.lucene.analysis.ngram.EdgeNGramTokenFilter;
import org.apache.lucene.analysis.ngram.EdgeNGramTokenizer;
import org.apache.lucene.analysis.ngram.NGramTokenFilter;
import org.apache.lucene.analysis.ngram.NGramTokenizer;
import org.apache.lucene.analysis.snowball.SnowballFilter;
import org.apache.lucene.analysis.synonym.SolrSynonymParser;
import org.apache.lucene.analysis.synonym.SynonymGraphFilter;
import org.apache.lucene.analysis.synonym.SynonymMap;
import org.elasticsearch.Build;
import org.elasticsearch.client.internal.node.NodeClient;
import org.elasticsearch.cluster.metadata.IndexNameExpressionResolver;
import org.elasticsearch.cluster.node.DiscoveryNodes;
import org.elasticsearch.cluster.service.ClusterService;
import org.elasticsearch.common.io.stream.NamedWriteableRegistry;
import org.elasticsearch.common.settings.ClusterSettings;
import org.elasticsearch.common.settings.IndexScopedSettings;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.common.settings.SettingsFilter;
import org.elasticsearch.features.NodeFeature;
import org.elasticsearch.index.IndexSettings;
import org.elasticsearch.index.IndexVersion;
import org.elasticsearch.index.analysis.AbstractIndexAnalyzerProvider;
import org.elasticsearch.index.analysis.AnalyzerProvider;
import org.elasticsearch.index.analysis.NormalizingTokenFilterFactory;
import org.elasticsearch.index.analysis.PreConfiguredTokenFilter;
import org.elasticsearch.index.analysis.PreConfiguredTokenizer;
import org.elasticsearch.index.analysis.TokenFilterFactory;
import org.elasticsearch.index.analysis.TokenizerFactory;
import org.elasticsearch.indices.analysis.AnalysisModule.AnalysisProvider;
import org.elasticsearch.plugins.ActionPlugin;
import org.elasticsearch.plugins.AnalysisPlugin;
import org.elasticsearch.plugins.Plugin;
import org.elasticsearch.rest.BaseRestHandler;
import org.elasticsearch.rest.RestController;
import org.elasticsearch.rest.RestHandler;
import org.elasticsearch.rest.RestRequest;
import org.elasticsearch.rest.RestResponse;
import org.elasticsearch.rest.RestStatus;
import org.elasticsearch.xcontent.XContentBuilder;

/**
 * Stands in for two modules of an Elasticsearch distribution that are not published as jars: rest-root ({@code GET /})
 * and analysis-common, of which this has the usual filters and tokenizers, all of them Lucene's own. It refuses what it
 * does not know, so that no test can pass with a setting that was ignored.
 */
public class Essentials extends Plugin implements ActionPlugin, AnalysisPlugin {

    // ---- GET / and HEAD /

    private ClusterService cluster;

    @Override
    public Collection<?> createComponents(PluginServices services) {
        cluster = services.clusterService();
        return List.of();
    }

    @Override
    public Collection<RestHandler> getRestHandlers(
        Settings settings, NamedWriteableRegistry writeables, RestController controller, ClusterSettings clusterSettings,
        IndexScopedSettings indexSettings, SettingsFilter filter, IndexNameExpressionResolver resolver,
        Supplier<DiscoveryNodes> nodes, Predicate<NodeFeature> features
    ) {
        return List.of(new BaseRestHandler() {
            @Override
            public String getName() {
                return "main";
            }

            @Override
            public List<Route> routes() {
                return List.of(new Route(RestRequest.Method.GET, "/"), new Route(RestRequest.Method.HEAD, "/"));
            }

            @Override
            protected RestChannelConsumer prepareRequest(RestRequest request, NodeClient client) {
                return channel -> channel.sendResponse(new RestResponse(RestStatus.OK, describe(channel.newBuilder())));
            }
        });
    }

    private XContentBuilder describe(XContentBuilder json) throws IOException {
        Build build = Build.current();
        return json.prettyPrint().startObject()
            .field("name", cluster.getNodeName())
            .field("cluster_name", cluster.getClusterName().value())
            .field("cluster_uuid", cluster.state().metadata().clusterUUID())
            .startObject("version")
            .field("number", build.version())
            .field("build_flavor", build.flavor())
            .field("build_type", build.type().displayName())
            .field("build_hash", build.hash())
            .field("build_date", build.date())
            .field("build_snapshot", build.isSnapshot())
            .field("lucene_version", IndexVersion.current().luceneVersion().toString())
            .field("minimum_wire_compatibility_version", build.minWireCompatVersion())
            .field("minimum_index_compatibility_version", build.minIndexCompatVersion())
            .endObject()
            .field("tagline", "You Know, for Search")
            .endObject();
    }

    // ---- Analysis: names that can be used as they are

    @Override
    public List<PreConfiguredTokenFilter> getPreConfiguredTokenFilters() {
        return List.of(
            PreConfiguredTokenFilter.singleton("asciifolding", true, ASCIIFoldingFilter::new),
            PreConfiguredTokenFilter.singleton("trim", true, TrimFilter::new),
            PreConfiguredTokenFilter.singleton("stemmer", false, PorterStemFilter::new),
            PreConfiguredTokenFilter.singleton("porter_stem", false, PorterStemFilter::new),
            PreConfiguredTokenFilter.singleton("kstem", false, KStemFilter::new));
    }

    @Override
    public List<PreConfiguredTokenizer> getPreConfiguredTokenizers() {
        return List.of(
            PreConfiguredTokenizer.singleton("keyword", KeywordTokenizer::new),
            PreConfiguredTokenizer.singleton("whitespace", WhitespaceTokenizer::new),
            PreConfiguredTokenizer.singleton("letter", LetterTokenizer::new));
    }

    @Override
    public Map<String, AnalysisProvider<AnalyzerProvider<? extends Analyzer>>> getAnalyzers() {
        return Map.of("english", (index, environment, name, settings) -> {
            allow(settings);
            Analyzer english = new EnglishAnalyzer();
            return new AbstractIndexAnalyzerProvider<Analyzer>(name, settings) {
                @Override
                public Analyzer get() {
                    return english;
                }
            };
        });
    }

    // ---- Analysis: types that an index can define filters and tokenizers with

    @Override
    public Map<String, AnalysisProvider<TokenFilterFactory>> getTokenFilters() {
        return Map.of(
            "lowercase", normalizingFilter((index, s) -> {
                allow(s);
                return LowerCaseFilter::new;
            }),
            "trim", normalizingFilter((index, s) -> {
                allow(s);
                return TrimFilter::new;
            }),
            "asciifolding", normalizingFilter((index, s) -> {
                allow(s, "preserve_original");
                boolean keep = s.getAsBoolean("preserve_original", false);
                return in -> new ASCIIFoldingFilter(in, keep);
            }),
            "length", filter((index, s) -> {
                allow(s, "min", "max");
                int min = s.getAsInt("min", 0);
                int max = s.getAsInt("max", Integer.MAX_VALUE);
                return in -> new LengthFilter(in, min, max);
            }),
            "edge_ngram", filter((index, s) -> {
                allow(s, "min_gram", "max_gram", "preserve_original");
                int min = s.getAsInt("min_gram", 1);
                int max = s.getAsInt("max_gram", 2);
                boolean keep = s.getAsBoolean("preserve_original", false);
                return in -> new EdgeNGramTokenFilter(in, min, max, keep);
            }),
            "ngram", filter((index, s) -> {
                allow(s, "min_gram", "max_gram", "preserve_original");
                int min = s.getAsInt("min_gram", 1);
                int max = s.getAsInt("max_gram", 2);
                boolean keep = s.getAsBoolean("preserve_original", false);
                checkNgramDifference(index, min, max);
                return in -> new NGramTokenFilter(in, min, max, keep);
            }),
            "stemmer", filter((index, s) -> {
                allow(s, "language", "name");
                return stemmer(s.get("language", s.get("name", "english")));
            }),
            "synonym", filter((index, s) -> {
                SynonymMap synonyms = synonyms(s);
                return in -> synonyms.fst == null ? in : new FlattenGraphFilter(new SynonymGraphFilter(in, synonyms, true));
            }),
            "synonym_graph", filter((index, s) -> {
                SynonymMap synonyms = synonyms(s);
                return in -> synonyms.fst == null ? in : new SynonymGraphFilter(in, synonyms, true);
            }));
    }

    @Override
    public Map<String, AnalysisProvider<TokenizerFactory>> getTokenizers() {
        return Map.of(
            "edge_ngram", (index, environment, name, s) -> {
                allow(s, "min_gram", "max_gram", "token_chars");
                int min = s.getAsInt("min_gram", 1);
                int max = s.getAsInt("max_gram", 2);
                Predicate<Integer> wanted = tokenCharacters(s);
                return TokenizerFactory.newFactory(name, () -> new EdgeNGramTokenizer(min, max) {
                    @Override
                    protected boolean isTokenChar(int character) {
                        return wanted.test(character);
                    }
                });
            },
            "ngram", (index, environment, name, s) -> {
                allow(s, "min_gram", "max_gram", "token_chars");
                int min = s.getAsInt("min_gram", 1);
                int max = s.getAsInt("max_gram", 2);
                checkNgramDifference(index, min, max);
                Predicate<Integer> wanted = tokenCharacters(s);
                return TokenizerFactory.newFactory(name, () -> new NGramTokenizer(min, max) {
                    @Override
                    protected boolean isTokenChar(int character) {
                        return wanted.test(character);
                    }
                });
            });
    }

    private static Function<TokenStream, TokenStream> stemmer(String language) {
        return switch (language) {
            case "english", "porter" -> PorterStemFilter::new;
            case "light_english", "kstem" -> KStemFilter::new;
            case "possessive_english" -> EnglishPossessiveFilter::new;
            // Both call these the same: Lucene's Snowball class and Elasticsearch's stemmer
            case "danish", "dutch", "finnish", "french", "german", "hungarian", "italian", "norwegian", "portuguese", "romanian",
                "russian", "spanish", "swedish", "turkish" -> {
                String snowball = Character.toUpperCase(language.charAt(0)) + language.substring(1);
                yield in -> new SnowballFilter(in, snowball);
            }
            default -> throw new IllegalArgumentException("stemmer [" + language + "] is not in Essentials.java");
        };
    }

    /** Rules are split into words and lowered. (Elasticsearch runs them through the analyzer's earlier steps.) */
    private static SynonymMap synonyms(Settings settings) {
        allow(settings, "synonyms", "expand");
        Analyzer words = new Analyzer() {
            @Override
            protected TokenStreamComponents createComponents(String field) {
                Tokenizer tokenizer = new WhitespaceTokenizer();
                return new TokenStreamComponents(tokenizer, new LowerCaseFilter(tokenizer));
            }
        };
        try {
            SolrSynonymParser parser = new SolrSynonymParser(true, settings.getAsBoolean("expand", true), words);
            parser.parse(new StringReader(String.join("\n", settings.getAsList("synonyms"))));
            return parser.build();
        } catch (Exception e) {
            throw new IllegalArgumentException("failed to build synonyms", e);
        }
    }

    private static Predicate<Integer> tokenCharacters(Settings settings) {
        List<String> kinds = settings.getAsList("token_chars");
        if (kinds.isEmpty()) {
            return character -> true;
        }
        Set<String> unknown = new TreeSet<>(kinds);
        unknown.removeAll(List.of("letter", "digit", "whitespace"));
        if (unknown.isEmpty() == false) {
            throw new IllegalArgumentException("token_chars " + unknown + " are not in Essentials.java");
        }
        return character -> kinds.contains("letter") && Character.isLetter(character)
            || kinds.contains("digit") && Character.isDigit(character)
            || kinds.contains("whitespace") && Character.isWhitespace(character);
    }

    private static void checkNgramDifference(IndexSettings index, int min, int max) {
        int allowed = index.getMaxNgramDiff();
        if (max - min > allowed) {
            throw new IllegalArgumentException(
                "The difference between max_gram and min_gram in NGram Tokenizer must be less than or equal to: [" + allowed
                    + "] but was [" + (max - min) + "]. This limit can be set by changing the [" + IndexSettings.MAX_NGRAM_DIFF_SETTING.getKey()
                    + "] index level setting.");
        }
    }

    // ---- Shared by these

    /** Refuses other settings; "index" is present where a type is used by name, without a definition. */
    private static void allow(Settings settings, String... names) {
        Set<String> others = new TreeSet<>(settings.names());
        others.removeAll(List.of("type", "index"));
        others.removeAll(List.of(names));
        if (others.isEmpty() == false) {
            throw new IllegalArgumentException("analysis settings " + others + " are not in Essentials.java");
        }
    }

    /** From a definition's settings, read once, to what wraps each token stream. */
    private interface FilterMaker {
        Function<TokenStream, TokenStream> make(IndexSettings index, Settings settings);
    }

    private static AnalysisProvider<TokenFilterFactory> filter(FilterMaker maker) {
        return (index, environment, name, settings) -> {
            Function<TokenStream, TokenStream> wrap = maker.make(index, settings);
            return new TokenFilterFactory() {
                @Override
                public String name() {
                    return name;
                }

                @Override
                public TokenStream create(TokenStream in) {
                    return wrap.apply(in);
                }
            };
        };
    }

    /** Also usable in the normalizer of a keyword field. */
    private static AnalysisProvider<TokenFilterFactory> normalizingFilter(FilterMaker maker) {
        return (index, environment, name, settings) -> {
            Function<TokenStream, TokenStream> wrap = maker.make(index, settings);
            return new NormalizingTokenFilterFactory() {
                @Override
                public String name() {
                    return name;
                }

                @Override
                public TokenStream create(TokenStream in) {
                    return wrap.apply(in);
                }
            };
        };
    }
}
