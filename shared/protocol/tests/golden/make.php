<?php
/*
 * The canonical hash canon:1 in PHP, as a second opinion on the one in Rust and as a reference for clients in PHP.
 *
 *   php make.php > vectors.json     the golden vectors
 *   php make.php --each < LINES     one hash per line of "identity base64-of-the-document", or "refused"
 */

const BOOKKEEPING = ['_created', '_cby', '_modified', '_mby'];
const COUNTED_ASSET_FIELDS = ['_data', '_hash', '_id', 'altText', 'description', 'fp', 'path', 'title'];

function canonical_hash(string $json, string $identity): ?string {

    $document = json_decode($json, true);

    if (!is_array($document) || !str_starts_with(ltrim($json, " \t\r\n"), '{')) {
        return null;
    }

    $left_out = $identity === 'id' ? BOOKKEEPING : [...BOOKKEEPING, '_id'];
    $counted = array_diff_key($document, array_flip($left_out));

    return substr(hash('sha256', "canon:1\0".encode_fields('o', $counted)), 0, 32);
}

function encode(mixed $value): string {

    return match (true) {
        $value === null   => 'n',
        $value === false  => 'f',
        $value === true   => 't',
        is_int($value)    => 'i'.pack('J', $value),
        is_float($value)  => encode_float($value),
        is_string($value) => 's'.encode_text($value),
        default           => encode_array($value),
    };
}

function encode_float(float $value): string {

    if (abs($value) < 2 ** 53 && floor($value) === $value) {
        return 'i'.pack('J', (int) $value);
    }

    return 'd'.pack('E', $value);
}

function encode_text(string $text): string {
    return pack('N', strlen($text)).$text;
}

function encode_array(array $array): string {

    if (array_is_list($array)) {
        return 'l'.pack('N', count($array)).implode('', array_map('encode', $array));
    }

    $is_asset_copy = isset($array['_id'], $array['path'], $array['mime'], $array['type']) && is_string($array['_id']);

    if ($is_asset_copy) {
        return encode_fields('a', array_intersect_key($array, array_flip(COUNTED_ASSET_FIELDS)));
    }

    return encode_fields('o', $array);
}

function encode_fields(string $tag, array $fields): string {

    ksort($fields, SORT_STRING);
    $encoded = $tag.pack('N', count($fields));

    foreach ($fields as $key => $value) {
        $encoded .= encode_text((string) $key).encode($value);
    }

    return $encoded;
}

if (in_array('--each', $argv, true)) {

    while (($line = fgets(STDIN)) !== false) {
        [$identity, $document] = explode(' ', trim($line).' ');
        echo canonical_hash(base64_decode($document), $identity) ?? 'refused', "\n";
    }

    exit;
}

$copy = '{"path":"\/2026\/a.png","title":"A","mime":"image\/png","type":"image","size":3,"_hash":"c1fa","_created":1,"folder":"","_id":"6b02"}';

$counted = [
    ['an empty document', '{}'],
    ['an empty array instead of an empty object', '{"a":[]}'],
    ['an empty object counts as an empty array', '{"a":{}}'],
    ['null', '{"a":null}'],
    ['booleans', '{"a":true,"b":false}'],
    ['text in several scripts', '{"a":"größer 日本語 😀"}'],
    ['the same text with escapes', '{"\u0061":"gr\u00f6\u00dfer \u65e5\u672c\u8a9e \ud83d\ude00"}'],
    ['text is not normalised', '{"a":"gro\u0308\u00dfer"}'],
    ['line separators, a zero byte and control characters', '{"a":"\u2028\u2029\u0000\u001f\b\f\n\r\t\"\\\\\/"}'],
    ['a zero byte in a key', '{"\u0000a":1,"":2}'],
    ['integers', '{"a":0,"b":-1,"c":9007199254740993,"d":9223372036854775807,"e":-9223372036854775808}'],
    ['integers beyond 64 bits are floats', '{"a":9223372036854775808,"b":-9223372036854775809,"c":123456789012345678901234567890}'],
    ['a whole float is an integer', '{"a":1.0,"b":1e3,"c":1.5E1}'],
    ['the same integers', '{"a":1,"b":1000,"c":15}'],
    ['negative zero is zero', '{"a":-0,"b":-0.0,"c":-0e5}'],
    ['zero', '{"a":0,"b":0,"c":0}'],
    ['floats', '{"a":0.1,"b":-1.5e-10,"c":3.141592653589793,"d":5e-324,"e":1.7976931348623157e308}'],
    ['one unit in the last place', '{"a":0.10000000000000002,"b":0.30000000000000004}'],
    ['floats that a quick reader gets wrong', '{"a":0.3e-23,"b":7.1202363472230444e-307,"c":2.2250738585072014e-308}'],
    ['as PHP writes large floats', '{"a":1.0e+20,"b":1.2345678901234568e+17}'],
    ['the same large floats', '{"a":100000000000000000000,"b":123456789012345680e0}'],
    ['whole floats at the edge of 53 bits', '{"a":9007199254740991.0,"b":9007199254740992.0,"c":-9007199254740991.0}'],
    ['nested values', '{"a":{"b":[1,{"c":[[],[[]]]}]},"d":[[1],[2,null]]}'],
    ['keys are sorted by bytes', '{"b":1,"a":2,"ä":3,"A":4,"a0":5,"_":6,"10":7,"9":8}'],
    ['the same keys in another order', '{"9":8,"10":7,"_":6,"A":4,"a":2,"a0":5,"b":1,"ä":3}'],
    ['an object that counts from zero is an array', '{"a":{"0":"x","1":"y"}}'],
    ['that array', '{"a":["x","y"]}'],
    ['an object that counts in another order is an object', '{"a":{"1":"y","0":"x"}}'],
    ['an object that counts from one is an object', '{"a":{"1":"x","2":"y"}}'],
    ['keys that only look like numbers', '{"a":{"00":1,"-0":2,"1.0":3,"9223372036854775808":4}}'],
    ['the top level is an object even when it counts', '{"0":1,"1":2}'],
    ['the last of equal keys counts', '{"a":1,"b":2,"a":3}'],
    ['equal keys keep the first place', '{"a":{"0":1,"1":2,"0":3}}'],
    ['the bookkeeping is left out', '{"a":1,"_modified":5,"_mby":"x","_created":6,"_cby":"y"}'],
    ['only at the top level', '{"a":{"_modified":5,"_mby":"x","_created":6,"_cby":"y"}}'],
    ['the id counts', '{"a":1,"_id":"6b02ce5c686c82d24f3c2927"}'],
    ['a copy of an asset', '{"image":'.$copy.'}'],
    ['a copy of an asset without what does not count', '{"image":{"_id":"6b02","_hash":"c1fa","title":"A","path":"\/2026\/a.png","mime":"?","type":"?"}}'],
    ['the counted fields of a copy', '{"image":{"_id":"6b02","_hash":"c1fa","title":"A","path":"x","mime":"y","type":"z","description":"","altText":null,"fp":{"x":0.5,"y":1},"_data":{"caption":"C"}}}'],
    ['no copy without a mime type', '{"image":{"_id":"6b02","_hash":"c1fa","title":"A","path":"\/2026\/a.png","mime":null,"type":"image"}}'],
    ['no copy when the id is a number', '{"image":{"_id":6,"path":"a","mime":"b","type":"c"}}'],
    ['copies in lists and in copies', '{"rows":[{"image":'.$copy.'},['.$copy.']],"x":{"_id":"1","path":"a","mime":"b","type":"c","_data":{"inner":'.$copy.'}}}'],
    ['an asset itself is no copy', $copy],
    ['white space', " {\r\n\t\"a\" : [ 1 ,2 ] ,\"b\": { } } \n"],
    ['an item', '{"title":"Post 7 – größer & größer","slug":"post-7","body":"# Heading\n\n* a\/b\u2028\n","featured":true,"price":0.1,"image":null,"author":{"_model":"authors","_id":"6b02ce5c686c82d24f3c291d"},"tags":["news","t7"],"seo":{"title":"SEO 7","noindex":false},"sections":[{"headline":"H7","image":'.$copy.'}],"extra":{"n":1,"big":9007199254740993,"list":[],"nested":{"a":{"b":null}}},"_state":1,"_modified":1795346012,"_mby":"6b","_created":1795346012,"_cby":"6b","_id":"6b02ce5c686c82d24f3c2927"}'],
];

$by_other_identity = [
    ['a singleton\'s id is left out', 'model', '{"_model":"settings","siteName":"Rig","_state":1,"_id":"6b02"}'],
    ['only at the top level of a singleton', 'model', '{"_model":"settings","link":{"_id":"6b02"}}'],
    ['a locale\'s id is left out', 'i18n', '{"i18n":"de","name":"Deutsch","enabled":true,"meta":{},"_modified":1,"_id":"6b02"}'],
    ['a model', 'name', '{"name":"posts","fields":[{"name":"title","i18n":true}],"_created":1,"_modified":2}'],
];

$refused = [
    ['half of a surrogate pair', '{"a":"\ud800"}'],
    ['the other half', '{"a":"\udc00"}'],
    ['two first halves', '{"a":"\ud800\ud800"}'],
    ['half a pair and another escape', '{"a":"\ud800\n"}'],
    ['an unknown escape', '{"a":"\x41"}'],
    ['a short escape', '{"a":"\u12"}'],
    ['a raw line break in a string', "{\"a\":\"\n\"}"],
    ['single quotes', "{'a':1}"],
    ['a key without quotes', '{a:1}'],
    ['a comma too many', '{"a":1,}'],
    ['a comma too many in a list', '{"a":[1,]}'],
    ['a comma too few', '{"a":1 "b":2}'],
    ['a comment', '{"a":1/**/}'],
    ['a leading zero', '{"a":01}'],
    ['a leading plus', '{"a":+1}'],
    ['a point without digits', '{"a":1.}'],
    ['a point without digits before it', '{"a":.5}'],
    ['an exponent without digits', '{"a":1e}'],
    ['a minus alone', '{"a":-}'],
    ['NaN', '{"a":NaN}'],
    ['capitals', '{"a":TRUE}'],
    ['no end', '{"a":1'],
    ['no end of a string', '{"a":"'],
    ['two documents', '{}{}'],
    ['nothing', ''],
    ['a byte order mark', "\u{feff}{}"],
    ['a wrong space', "{\"a\":\u{a0}1}"],
    ['512 levels', str_repeat('{"a":', 511).'{}'.str_repeat('}', 511)],
];

$counted[] = ['511 levels', str_repeat('{"a":', 510).'{}'.str_repeat('}', 510)];

$vectors = ['hashes' => [], 'refused' => []];

$by_id = array_map(fn ($case) => [$case[0], 'id', $case[1]], $counted);

foreach ([...$by_id, ...$by_other_identity] as [$claim, $identity, $document]) {
    $hash = canonical_hash($document, $identity) ?? throw new Exception("PHP does not read: {$claim}");
    $vectors['hashes'][] = ['claim' => $claim, 'identity' => $identity, 'hash' => $hash, 'document' => $document];
}

foreach ($refused as [$claim, $document]) {

    if (canonical_hash($document, 'id') !== null) {
        throw new Exception("PHP reads: {$claim}");
    }

    $vectors['refused'][] = ['claim' => $claim, 'document' => $document];
}

echo json_encode($vectors, JSON_PRETTY_PRINT | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_THROW_ON_ERROR), "\n";
