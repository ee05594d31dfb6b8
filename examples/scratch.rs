use autofas_bench::{base::{progress::Progress,Result}, data::{dataset::*, schema::*}, learn::{*, train::*, settings::*}, price::*, space::*};
#[global_allocator] static G: mimalloc::MiMalloc = mimalloc::MiMalloc;
struct P(std::time::Instant);
impl Progress for P { fn stage(&self,n:&str,t:u64){eprintln!("[{:.1}] {n} {t}",self.0.elapsed().as_secs_f64())} fn advance(&self,d:u64,n:&str){ if d%25==0 {eprintln!("[{:.1}]   {d} {n}",self.0.elapsed().as_secs_f64())}} fn say(&self,l:&str){eprintln!("[{:.1}] {l}",self.0.elapsed().as_secs_f64())}}
struct Flat;
impl LayerPrices for Flat {
  fn first_ms(&self,i:InputWidths,to:usize)->Result<FirstLayerPrice>{let a=2e-5; Ok(FirstLayerPrice{ms:(i.item*to as f64*a)*1.0+0.05+i.item*1e-3,d_user:0.0,d_item:to as f64*a+1e-3})}
  fn layer_ms(&self,f:usize,t:usize)->Result<f64>{Ok(f as f64*t as f64*2e-5+0.02)}
  fn fixed_ms(&self)->f64{0.05}
}
fn read<T:Copy>(p:&str)->Vec<T>{let b=std::fs::read(p).unwrap(); let n=b.len()/std::mem::size_of::<T>(); let mut v=Vec::with_capacity(n); unsafe{std::ptr::copy_nonoverlapping(b.as_ptr(),v.as_mut_ptr() as *mut u8,b.len());v.set_len(n)}; v}
fn main(){
  let arg=|k:&str,d:f64|->f64{std::env::args().find_map(|a|a.strip_prefix(&format!("{k}=")).map(|v|v.parse().unwrap())).unwrap_or(d)};
  let args:Vec<String>=std::env::args().collect(); let has=|k:&str|args.iter().any(|a|a==k);
  let m:serde_json::Value=serde_json::from_slice(&std::fs::read("/tmp/kuai/meta.json").unwrap()).unwrap();
  let names:Vec<String>=m["cols"].as_array().unwrap().iter().map(|v|v.as_str().unwrap().into()).collect();
  let card:Vec<u32>=m["card"].as_array().unwrap().iter().map(|v|v.as_u64().unwrap() as u32).collect();
  let kinds:Vec<String>=m["kinds"].as_array().unwrap().iter().map(|v|v.as_str().unwrap().into()).collect();
  let f=names.len();
  let labels:Vec<f32>=read("/tmp/kuai/y.bin"); let n=labels.len();
  let data=Dataset{features:(0..f).map(|i|EncodedFeature{name:names[i].clone(),slot:Slot::Ids{start:i,length:1},cardinality:card[i]}).collect(),id_slots:f,ids:read("/tmp/kuai/ids.bin"),weights:vec![1.0;n],partitions:if has("nopart"){vec![0;n]}else{read("/tmp/kuai/tab.bin")},partition_count:if has("nopart"){1}else{15},groups:Some(read("/tmp/kuai/user.bin")),labels,..Default::default()};
  let nt=m["train"].as_u64().unwrap() as u32;
  let split=Split{train:(0..nt).collect(),valid:(nt..n as u32).collect()};
  let rows=Rows{data:&data,split:&split};
  let feats:Vec<Feature>=(0..f).map(|i|{let kind=match kinds[i].as_str(){"user"=>Kind::User,"context"=>Kind::Context,"item"=>Kind::Item,_=>Kind::Interactive}; Feature{name:names[i].clone(),column:names[i].clone(),kind,source:if kind.side()==Side::User{Source::Matching}else{Source::Store},fetch_group:None,refresh:Refresh::Daily,encoding:Encoding::Hash{buckets:1},sequence:None,width:8,fetch_ms:match kind{Kind::User=>0.05,Kind::Context=>0.02,Kind::Item=>0.1,Kind::Interactive=>0.2},must_keep:false,never:false}}).collect();
  let p=P(std::time::Instant::now());
  let seed=arg("seed",1.0) as u64;
  let ts=TrainSettings{dropout:arg("do",0.2) as f32,embedding_dropout:arg("edo",0.0) as f32,learning_rate:arg("lr",1e-3),weight_decay:arg("wd",0.0),embedding_weight_decay:arg("ewd",0.0),batch_size:arg("bs",2048.0) as usize,max_epochs:arg("ep",4.0) as usize,patience:1};
  let all:Vec<usize>=(0..f).collect();
  let show=|r:&FitReport|{for e in &r.epochs{println!("   epoch {} loss {:.4} auc {:.4} gauc {:.4} ll {:.4}",e.epoch,e.loss,e.metrics.auc.unwrap(),e.metrics.gauc.unwrap(),e.metrics.logloss)}};
  let tset=TeacherSettings{train:ts.clone(),shared:vec![256,128],partition:vec![64],..Default::default()};
  let mut teacher=teacher::Teacher::new(embedding::input_features(&feats,&all,&data).unwrap(),data.partition_count,&tset,seed).unwrap();
  let t0=std::time::Instant::now();
  let r=fit(&mut teacher,rows,&ts,seed,&p).unwrap(); println!("TEACHER {:.4} {:.1}s",r.metrics.auc.unwrap(),t0.elapsed().as_secs_f64()); show(&r);
  if has("teacher"){return;}
  let allrows:Vec<u32>=(0..n as u32).collect();
  let soft=score_rows(&teacher,&data,&allrows).unwrap();
  let w=|t:&str|{args.iter().find_map(|a|a.strip_prefix("mix=").map(String::from)).unwrap_or(t.into())};
  let mix:Vec<Operator>=w("1024,512,256,128,64,0").split(',').map(|x|match x.parse::<usize>().unwrap(){0=>Operator::Zero,w=>Operator::Mlp(w)}).collect();
  let space=SearchSpace::new(feats.clone(),vec![mix;arg("L",3.0) as usize]).unwrap();
  let schema=Schema{features:feats.clone(),label:"y".into(),other_labels:vec![],weight:None,time:None,group:None,partition:None,teacher_score:None,request:None,user_key:None,item_key:None,fetch_candidates:1000,beta_ms:arg("beta",0.005),gamma_ms:arg("gamma",0.01)};
  let ss=SearchSettings{epochs:arg("sep",2.0) as usize,warmup_epochs:arg("wep",1.0) as usize,lambda:arg("lambda",0.01),lambda2:arg("lambda2",0.01),theta_learning_rate:arg("tlr",0.02),alpha_learning_rate:arg("alr",0.01),..Default::default()};
  let prices=price_term::Prices{schema:&schema,layers:&Flat};
  let mut s=search::Search::new(&space,search::Scene{rows,teacher:&teacher,soft:&soft,settings:&ss,seed}).unwrap();
  s.warm_up(&p).unwrap();
  let out=s.run(&prices,&p).unwrap();
  println!("p {:?}",out.probabilities);
  let mut o:Vec<usize>=(0..f).collect(); o.sort_by(|a,b|out.theta[*b].total_cmp(&out.theta[*a]));
  println!("theta {:?}",o.iter().map(|&i|format!("{}:{:.2}",names[i],out.theta[i])).collect::<Vec<_>>());
  for k in [30usize,20,10]{
    let sn=derive::derive(&space,&out,&DeriveSettings::TopK{k},&prices).unwrap();
    for (nm,l1) in [("nodist",0.0),("dist",0.3)]{
      let lesson=if l1==0.0{student::Lesson::Labels}else{student::Lesson::Distilled{teacher:&soft,lambda1:l1}};
      let mut st=student::Student::new(embedding::input_features(&feats,&sn.features,&data).unwrap(),&sn.layer_widths(),&ts,lesson,seed).unwrap();
      let r=fit(&mut st,rows,&ts,seed,&p).unwrap(); println!("STUDENT {k} {nm} {} {:.4}",sn.id(&space),r.metrics.auc.unwrap()); show(&r);
    }
  }
}
